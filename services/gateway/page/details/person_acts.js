/** A person -> what a user may say: who else they are, who is not them, that all be forgotten. */

import { erase, get, picture as pictureOf, post } from "../floor/api.js";
import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";
import { confidence, shortName } from "../parts/crop.js";
import { emptyNotice, loadingNotice, problemNotice } from "../parts/notice.js";
import { picture } from "../parts/picture.js";

const ALIKE = 6;

export class PersonActs {
  #path;
  #id;
  #picker;
  #purpose = field("purpose", { required: true, minlength: "3", maxlength: "500" });
  #other = field("other", { maxlength: "26", pattern: "[0-9A-Za-z]+" });
  #alike = el("ul", { class: "people" });
  #told = el("div", { class: "told", "aria-live": "polite" });
  #forgetting = el("div", { class: "forgetting" });
  #form;
  #splitting = [];

  /** picker: of the sightings that a split or a confirmation is about. */
  constructor(id, picker) {
    this.#id = id;
    this.#path = `/v1/persons/${encodeURIComponent(id)}`;
    this.#picker = picker;
    this.#splitting = [
      this.#button("acts.split", () => this.#split(null)),
      this.#button("acts.split_to", () => this.#split(this.#other.value)),
      this.#button("acts.confirm", () => this.#say("confirm", { sighting_ids: picker.chosen })),
    ];
    this.#other.addEventListener("input", () => this.choose());
    this.#form = el(
      "form",
      { class: "acts", onsubmit: (event) => event.preventDefault() },
      labelled("acts.purpose", this.#purpose),
      el("p", { class: "hint" }, icon("audit"), () => t("acts.audited")),
      labelled("acts.other", this.#other),
      this.#button("acts.alike", () => this.#find()),
      this.#alike,
      this.#button("acts.merge", () => this.#merge()),
      el("div", { class: "choices" }, this.#splitting),
      this.#forgetting,
    );
    this.#offerForgetting();
    this.element = el(
      "section",
      {},
      el("h3", {}, () => t("acts.title")),
      this.#form,
      this.#told,
    );
    this.choose();
  }

  /** Offers what can be said of the sightings that are chosen now. */
  choose() {
    const [split, splitTo, confirm] = this.#splitting;
    const isNone = this.#picker.chosen.length === 0;
    split.disabled = confirm.disabled = isNone;
    splitTo.disabled = isNone || this.#other.value === "";
  }

  undo(change) {
    return this.#act((purpose) => post(`/v1/person-changes/${change.id}/undo`, { purpose }));
  }

  #merge() {
    this.#other.required = true;
    this.#say("merge", { person_ids: [this.#other.value] });
    this.#other.required = false;
  }

  #split(into) {
    this.#say("split", { sighting_ids: this.#picker.chosen, into_person_id: into });
  }

  #say(what, asked) {
    return this.#act((purpose) => post(`${this.#path}/${what}`, { purpose, ...asked }));
  }

  /** What becomes of it is heard as an event, here as at every other page. */
  async #act(work, done = () => told("acts.done")) {
    if (!this.#form.reportValidity()) return;
    this.#told.replaceChildren(loadingNotice());
    try {
      const answer = await work(this.#purpose.value);
      this.#told.replaceChildren(done(answer));
    } catch (problem) {
      this.#told.replaceChildren(problemNotice(problem));
    }
  }

  #find() {
    const look = async (purpose) => {
      const { crop } = await get(this.#path);
      const body = new FormData();
      body.append("image", await pictureOf(crop));
      body.append("purpose", purpose);
      const { persons } = await post("/v1/persons/search", body, { limit: ALIKE + 1 });
      return persons.filter(({ person_id: id }) => id !== this.#id).slice(0, ALIKE);
    };
    return this.#act(look, (persons) => {
      this.#alike.replaceChildren(...persons.map(this.#person));
      return persons.length ? "" : emptyNotice("search.nobody");
    });
  }

  #person = ({ person_id: id, confidence: share, sighting }) => {
    const choose = () => {
      this.#other.value = id;
      this.choose();
    };
    const name = () => t("person.crop", { name: shortName(id) });
    return el(
      "li",
      {},
      el(
        "button",
        { type: "button", value: id, title: name, onclick: choose },
        picture(sighting.crop, name, "crop"),
        confidence(share),
      ),
    );
  };

  #offerForgetting() {
    const ask = this.#button("acts.forget", () => this.#askForgetting());
    this.#forgetting.replaceChildren(ask);
  }

  #askForgetting() {
    const forget = (purpose) => erase(this.#path, { purpose });
    const done = ({ sightings }) => told("acts.forgotten", { count: sightings });
    const yes = this.#button("acts.forget_surely", () => this.#act(forget, done));
    yes.className = "grave";
    this.#forgetting.replaceChildren(
      el("p", { class: "caveat" }, icon("problem"), () => t("acts.forget_why")),
      yes,
      this.#button("acts.keep", () => this.#offerForgetting()),
    );
    yes.focus();
  }

  #button(key, onclick) {
    return el("button", { type: "button", value: key.split(".")[1], onclick }, () => t(key));
  }
}

function told(key, values = {}) {
  return el("p", { class: "hint" }, () => t(key, values));
}

function field(name, rules) {
  return el("input", { name, type: "text", autocomplete: "off", ...rules });
}

function labelled(key, input) {
  return el(
    "label",
    {},
    el("span", {}, () => t(key)),
    input,
  );
}
