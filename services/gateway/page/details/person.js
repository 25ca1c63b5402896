/** A person's id -> the trajectory found: where they were, stay by stay, and how sure that is. */

import { get } from "../floor/api.js";
import { el, icon } from "../floor/element.js";
import { lasting, t } from "../floor/language.js";
import { addressOf } from "../floor/route.js";
import { confidence, shortName } from "../parts/crop.js";
import { itinerary } from "../parts/itinerary.js";
import { timeOf } from "../parts/moment.js";
import { emptyNotice } from "../parts/notice.js";
import { picture } from "../parts/picture.js";

export async function personDetail(id, _, signal) {
  const path = `/v1/persons/${encodeURIComponent(id)}/trajectory`;
  const trajectory = await get(path, {}, signal);
  const title = [el("span", {}, () => t("person.title", { name: shortName(id) }))];
  if (trajectory.stays.length === 0) return { title, body: [emptyNotice("person.nowhere")] };
  const length = Date.parse(trajectory.end_time) - Date.parse(trajectory.start_time);
  const summary = el("p", {}, () =>
    t("person.summary", {
      count: trajectory.stays.length,
      cameras: trajectory.cameras.length,
      length: lasting(length),
    }),
  );
  const caveat = el("p", { class: "caveat" }, icon("hypothesis"), () => t("person.hypothesis"));
  return {
    title,
    body: [
      el(
        "div",
        { class: "main" },
        el("div", { class: "foreword" }, summary, caveat),
        itinerary(trajectory, axisWidth()),
        el("ol", { class: "stays" }, trajectory.stays.map(stayLine)),
      ),
    ],
  };
}

/** The schematic is made once, before it is laid out: narrower than the sheet by its labels. */
function axisWidth() {
  return Math.min(innerWidth * 0.65, 1_000);
}

function stayLine(stay, n) {
  const length = Date.parse(stay.end_time) - Date.parse(stay.start_time);
  const span = el("span", { class: "times" }, timeOf(stay.start_time), "–", timeOf(stay.end_time));
  return el(
    "li",
    {},
    picture(stay.crop, () => t("person.stay", { number: n + 1 }), "crop"),
    el(
      "div",
      {},
      el(
        "strong",
        {},
        el("span", { class: "number" }, String(n + 1)),
        el("a", { href: addressOf("cameras", stay.camera_id) }, stay.camera_name),
      ),
      span,
      el("span", { class: "hint" }, () =>
        t("person.stayed", { length: lasting(length), count: stay.sightings }),
      ),
      confidence(stay.confidence),
    ),
  );
}
