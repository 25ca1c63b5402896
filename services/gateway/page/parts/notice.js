/** Nothing to show, something to wait for, something wrong -> a few calm words in its place. */

import { el, icon } from "../floor/element.js";
import { knows, t } from "../floor/language.js";

export function emptyNotice(key) {
  return el(
    "p",
    { class: "notice" },
    icon("empty"),
    el("span", {}, () => t(key)),
  );
}

export function loadingNotice() {
  return el(
    "p",
    { class: "notice", "data-notice": "loading" },
    el("span", { class: "spinner" }),
    el("span", {}, () => t("loading")),
  );
}

/** problem: a Problem. again: offers to try again, where that can help. */
export function problemNotice(problem, again = null) {
  const button = again && el("button", { type: "button", onclick: again }, () => t("again"));
  return el(
    "p",
    { class: "notice", "data-notice": "problem", role: "alert" },
    icon("problem"),
    el("span", {}, () => wordsOf(problem)),
    button,
  );
}

/** In the reader's language where we know the code, else in the gateway's own words. */
function wordsOf({ code, message }) {
  const key = `problem.${code}`;
  return knows(key) ? t(key) : t("problem.told", { detail: message });
}
