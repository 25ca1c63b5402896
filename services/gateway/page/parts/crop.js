/** A person's crop -> a small picture that leads to their trajectory. */

import { el, placed } from "../floor/element.js";
import { percent, t } from "../floor/language.js";
import { addressOf } from "../floor/route.js";
import { picture } from "./picture.js";

/** People have ids and no names; the end of an id tells two of them apart. */
export function shortName(personId) {
  return personId.slice(-4);
}

/** below: what stands under the picture. */
export function personLink(personId, crop, ...below) {
  const title = () => t("person.open", { name: shortName(personId) });
  return el(
    "a",
    { class: "card person", href: addressOf("persons", personId), title },
    picture(crop, () => t("person.crop", { name: shortName(personId) }), "crop"),
    ...below,
  );
}

/** A belief from 0 to 1 as a bar and a figure. */
export function confidence(share) {
  return el(
    "span",
    { class: "confidence", title: () => t("confidence.why") },
    placed(el("span", { class: "meter", "aria-hidden": "true" }), { share }),
    el("span", { class: "figure" }, () => percent(share)),
  );
}
