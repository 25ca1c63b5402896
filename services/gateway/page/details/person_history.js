/** What users have said about a person -> a list, the newest first, each with its way back. */

import { el } from "../floor/element.js";
import { t } from "../floor/language.js";
import { shortName } from "../parts/crop.js";
import { timeOf } from "../parts/moment.js";
import { emptyNotice } from "../parts/notice.js";

/** undo(change): takes it back. */
export function personHistory({ items }, undo) {
  return el(
    "section",
    {},
    el("h3", {}, () => t("change.title")),
    items.length
      ? el("ol", { class: "changes" }, items.map((change) => line(change, undo)))
      : emptyNotice("change.none"),
  );
}

function line(change, undo) {
  const said = () =>
    t(`change.${change.kind}`, {
      count: change.sightings,
      from: change.from_person_ids.map(shortName).join(", "),
      to: shortName(change.person_id),
    });
  const button = el("button", { type: "button", onclick: () => undo(change) }, () =>
    t("change.undo"),
  );
  return el(
    "li",
    { "data-change": change.kind, "data-undone": change.undone_at !== null },
    el("strong", {}, said),
    word(change.at, change.actor, change.purpose),
    change.undone_at === null
      ? button
      : [
          el("span", {}, () => t("change.undone")),
          word(change.undone_at, change.undone_by, change.undone_purpose),
        ],
  );
}

/** When, who and why. */
function word(at, actor, purpose) {
  return el("span", { class: "hint" }, timeOf(at), ` · ${actor} · ${purpose}`);
}
