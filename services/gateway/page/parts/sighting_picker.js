/** A person's sightings -> small pictures to choose some of. */

import { el } from "../floor/element.js";
import { t } from "../floor/language.js";
import { confidence } from "./crop.js";
import { timeOf } from "./moment.js";
import { picture } from "./picture.js";

export class SightingPicker {
  #nameOf;
  #changed;
  #list = el("ul", { class: "sightings" });

  /** nameOf(camera id): its name. changed(): hears that another choice was made. */
  constructor(nameOf, changed) {
    this.#nameOf = nameOf;
    this.#changed = changed;
    this.element = el(
      "fieldset",
      { onchange: changed },
      el("legend", {}, () => t("sightings.title")),
      this.#list,
    );
  }

  /** The ids of those that are chosen. */
  get chosen() {
    return [...this.#list.querySelectorAll("input:checked")].map((input) => input.value);
  }

  /** Who was chosen before stays so, where they are still there. */
  show(sightings) {
    const chosen = new Set(this.chosen);
    this.#list.replaceChildren(...sightings.map((it) => this.#line(it, chosen.has(it.id))));
    this.#changed();
  }

  #line(sighting, isChosen) {
    const where = () => this.#nameOf(sighting.camera_id);
    const input = el("input", { type: "checkbox", value: sighting.id, checked: isChosen });
    return el(
      "li",
      {},
      el(
        "label",
        {},
        picture(sighting.crop, where, "crop"),
        input,
        el("span", { class: "where" }, where),
        timeOf(sighting.start_time),
        sighting.confirmed
          ? el("strong", {}, () => t("sightings.confirmed"))
          : confidence(sighting.confidence),
      ),
    );
  }
}
