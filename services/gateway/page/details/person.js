/** A person's id -> the trajectory found, stay by stay and how sure that is; and who says so. */

import { get } from "../floor/api.js";
import { el, icon } from "../floor/element.js";
import { lasting, t } from "../floor/language.js";
import { addressOf } from "../floor/route.js";
import { confidence, shortName } from "../parts/crop.js";
import { facts } from "../parts/facts.js";
import { itinerary } from "../parts/itinerary.js";
import { timeOf } from "../parts/moment.js";
import { emptyNotice, problemNotice } from "../parts/notice.js";
import { picture } from "../parts/picture.js";
import { SightingPicker } from "../parts/sighting_picker.js";
import { PersonActs } from "./person_acts.js";
import { personHistory } from "./person_history.js";

/** The newest; a person who is seen every day has more than anybody would look through. */
const MOST_SIGHTINGS = 200;

export async function personDetail(id, { cameras, people }, signal) {
  const path = `/v1/persons/${encodeURIComponent(id)}`;
  const picker = new SightingPicker(
    (cameraId) => cameras.nameOf(cameraId),
    () => acts?.choose(),
  );
  const way = el("div", { class: "way" });
  const history = el("div", {});
  let acts = null;
  const look = async () => {
    const trajectory = await get(`${path}/trajectory`, {}, signal);
    const { items } = await get(`${path}/sightings`, { limit: MOST_SIGHTINGS }, signal);
    way.replaceChildren(...wayOf(trajectory));
    picker.show(items);
    // While the re-ID service is away there is a trajectory all the same.
    const said = await get(`${path}/history`, {}, signal).catch(problemNotice);
    history.replaceChildren(
      said instanceof Node ? said : personHistory(said, (change) => acts.undo(change)),
    );
    return trajectory;
  };
  const { merged_into: survivor } = await look();
  acts = new PersonActs(survivor ?? id, picker);
  const again = ({ detail }) => {
    if (!detail.person_ids.includes(id)) return;
    look().catch((problem) => signal.aborted || way.replaceChildren(problemNotice(problem)));
  };
  people.addEventListener("revised", again, { signal });
  return {
    title: [el("span", {}, () => t("person.title", { name: shortName(id) }))],
    body: [
      el("div", { class: "main" }, way, picker.element),
      el("div", { class: "side" }, facts({ "fact.id": id }), acts.element, history),
    ],
  };
}

function wayOf(trajectory) {
  const { merged_into: survivor, stays } = trajectory;
  const merged =
    survivor &&
    el("p", { class: "caveat" }, icon("hypothesis"), () =>
      t("person.merged", { name: shortName(survivor) }),
    );
  if (stays.length === 0) return [emptyNotice("person.nowhere")];
  const length = Date.parse(trajectory.end_time) - Date.parse(trajectory.start_time);
  const summary = el("p", {}, () =>
    t("person.summary", {
      count: stays.length,
      cameras: trajectory.cameras.length,
      length: lasting(length),
    }),
  );
  const caveat = el("p", { class: "caveat" }, icon("hypothesis"), () => t("person.hypothesis"));
  return [
    el("div", { class: "foreword" }, summary, merged, caveat),
    itinerary(trajectory, axisWidth()),
    el("ol", { class: "stays" }, stays.map(stayLine)),
  ];
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
