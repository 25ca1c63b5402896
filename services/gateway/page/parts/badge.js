/** A state -> a small label of icon and word: colour is never the only sign. */

import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";

/** low, medium, high, critical. */
export function severityBadge(severity) {
  const words = () => t(`severity.${severity}`);
  return el(
    "span",
    { class: "badge severity", "data-severity": severity },
    icon(`severity-${severity}`),
    words,
  );
}

/** open or closed. */
export function stateBadge(state) {
  return el("span", { class: "badge state", "data-state": state }, icon(`state-${state}`), () =>
    t(`state.${state}`),
  );
}

export function learningBadge() {
  return el(
    "span",
    { class: "badge learning", title: () => t("learning.why") },
    icon("learning"),
    () => t("learning"),
  );
}

/** new, online, offline; null: not known yet. */
export function presenceBadge(presence) {
  const state = presence ?? "unknown";
  return el(
    "span",
    { class: "badge presence", "data-presence": state },
    icon(`presence-${state}`),
    () => t(`presence.${state}`),
  );
}
