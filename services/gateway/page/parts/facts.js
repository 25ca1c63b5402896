/** Names and values -> a list of facts; what is null is left out. */

import { el } from "../floor/element.js";
import { t } from "../floor/language.js";

/** known: {key of the words: node, text, words, or an array of nodes}. note: key of a remark. */
export function facts(known, note = null) {
  const present = Object.entries(known).filter(([, value]) => value !== null);
  return el(
    "div",
    { class: "facts" },
    el(
      "dl",
      {},
      present.map(([key, value]) => [el("dt", {}, () => t(key)), el("dd", {}, ...[value].flat())]),
    ),
    note && el("p", { class: "hint" }, () => t(note)),
  );
}
