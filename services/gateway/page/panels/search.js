/** An image and a purpose -> people who look alike, each a way to their trajectory. */

import { post } from "../floor/api.js";
import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";
import { confidence, personLink } from "../parts/crop.js";
import { timeOf } from "../parts/moment.js";
import { emptyNotice, loadingNotice, problemNotice } from "../parts/notice.js";
import { panel } from "../parts/panel.js";
import { imageDrop } from "../parts/image_drop.js";

const FOUND = 12;

export class SearchPanel {
  #cameras;
  #image = null;
  #results = el("div", { class: "results", "aria-live": "polite" });
  #purpose = field("purpose", { required: true, minlength: "3", maxlength: "500" });
  #case = field("case", { maxlength: "100" });
  #button = el("button", { class: "primary", disabled: true }, icon("search"), () =>
    t("search.go"),
  );

  constructor({ cameras }) {
    this.#cameras = cameras;
    const chosen = (image) => this.#choose(image);
    const form = el(
      "form",
      { onsubmit: (event) => this.#submit(event) },
      imageDrop(chosen, (problem) => this.#results.replaceChildren(problemNotice(problem))),
      labelled("search.purpose", this.#purpose),
      el("p", { class: "hint" }, icon("audit"), () => t("search.audited")),
      labelled("search.case", this.#case),
      this.#button,
    );
    this.element = panel("search", [], el("div", { class: "body" }, form, this.#results));
  }

  #choose(image) {
    this.#image = image;
    this.#button.disabled = image === null;
    this.#results.replaceChildren();
    if (image !== null && !this.#purpose.value) this.#purpose.focus();
  }

  async #submit(event) {
    event.preventDefault();
    const body = new FormData();
    body.append("image", this.#image);
    body.append("purpose", this.#purpose.value);
    if (this.#case.value) body.append("case_id", this.#case.value);
    this.#button.disabled = true;
    this.#results.replaceChildren(loadingNotice());
    try {
      this.#show(await post("/v1/persons/search", body, { limit: FOUND }));
    } catch (problem) {
      this.#results.replaceChildren(problemNotice(problem));
    }
    this.#button.disabled = this.#image === null;
  }

  #show({ persons, searched, audit_id: audit }) {
    const told = el("p", { class: "hint" }, () =>
      t("search.found", { count: persons.length, searched, audit: audit.slice(-6) }),
    );
    if (persons.length === 0) this.#results.replaceChildren(emptyNotice("search.nobody"), told);
    else
      this.#results.replaceChildren(told, el("ol", { class: "found" }, persons.map(this.#person)));
    this.#results.scrollIntoView({ block: "start" });
  }

  #person = ({ person_id: id, confidence: share, sighting }) =>
    el(
      "li",
      {},
      personLink(
        id,
        sighting.crop,
        el(
          "span",
          { class: "below" },
          confidence(share),
          el("span", { class: "where" }, () => this.#cameras.nameOf(sighting.camera_id)),
          timeOf(sighting.start_time),
        ),
      ),
    );
}

function field(name, rules) {
  return el("input", {
    name,
    type: "text",
    autocomplete: "off",
    placeholder: () => t(`search.${name}_example`),
    ...rules,
  });
}

function labelled(key, input) {
  return el(
    "label",
    {},
    el("span", {}, () => t(key)),
    input,
  );
}
