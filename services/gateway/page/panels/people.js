/** The store of people -> a strip of those seen lately; each keeps their place in it. */

import { el } from "../floor/element.js";
import { t } from "../floor/language.js";
import { personLink } from "../parts/crop.js";
import { sinceThen } from "../parts/moment.js";
import { emptyNotice, loadingNotice, problemNotice } from "../parts/notice.js";
import { panel } from "../parts/panel.js";

export class PeoplePanel {
  #stores;
  #tiles = new Map();
  #list = el("ul", { class: "people" });
  #notice = el("div", { class: "notices" }, loadingNotice());

  constructor(stores) {
    this.#stores = stores;
    const hint = el("p", { class: "hint" }, () => t("people.hint"));
    this.element = panel(
      "people",
      [],
      el("div", { class: "body" }, hint, this.#notice, this.#list),
    );
    const { people } = stores;
    people.addEventListener("loaded", () => this.#fill());
    people.addEventListener("changed", ({ detail }) => this.#take(detail.item));
    people.addEventListener("forgotten", ({ detail }) => this.#drop(detail.id));
    people.addEventListener("failed", ({ detail }) => this.#fail(detail));
  }

  #fill() {
    const { items } = this.#stores.people;
    for (const id of [...this.#tiles.keys()]) if (!items.has(id)) this.#drop(id);
    for (const person of items.values()) this.#take(person);
    this.#note();
  }

  /** Somebody new comes first; who is known stays where they are, lest the strip never rest. */
  #take(person) {
    const known = this.#tiles.get(person.id);
    if (known === undefined) {
      this.#tiles.set(person.id, { element: el("li", {}), crop: null });
      this.#list.prepend(this.#tiles.get(person.id).element);
    }
    this.#show(person, this.#tiles.get(person.id));
    this.#note();
  }

  #show(person, tile) {
    const where = () => this.#stores.cameras.nameOf(person.camera_id);
    const seen = [el("span", { class: "where" }, where), sinceThen(person.seen_at)];
    const below = tile.element.querySelector(".below");
    if (below !== null && tile.crop === person.crop) below.replaceChildren(...seen);
    else {
      const caption = el("span", { class: "below" }, seen);
      tile.element.replaceChildren(personLink(person.id, person.crop, caption));
      tile.crop = person.crop;
    }
  }

  #drop(id) {
    this.#tiles.get(id)?.element.remove();
    this.#tiles.delete(id);
  }

  #note() {
    this.#notice.replaceChildren(...(this.#tiles.size ? [] : [emptyNotice("people.none")]));
  }

  #fail(problem) {
    this.#notice.replaceChildren(problemNotice(problem));
  }
}
