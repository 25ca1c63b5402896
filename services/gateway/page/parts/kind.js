/** An alert's kind -> what it says of the camera itself; an anomaly is of the scene. */

import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";

/** Whether somebody or something has changed what the camera sees. */
export function isTampering({ kind }) {
  return kind !== "anomaly" && kind !== "camera_offline";
}

export function kindBadge(kind) {
  return el("span", { class: "badge kind", "data-kind": kind }, icon(`kind-${kind}`), () =>
    t(`kind.${kind}`),
  );
}

/** The kind in one sentence, with what ends it. */
export function kindTold(kind) {
  return el("p", { class: "about", "data-kind": kind }, icon(`kind-${kind}`), () =>
    t(`about.${kind}`),
  );
}
