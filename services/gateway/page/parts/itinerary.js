/** A trajectory -> a schematic: cameras as rows, time as the axis, stays as bars in their order. */

import { el, placed, svg } from "../floor/element.js";
import { clockTime, percent } from "../floor/language.js";
import { picture } from "./picture.js";

/** The axis is at least so long, and has a margin so that the last crop fits. */
const LEAST_MS = 10_000;
const MARGIN = 0.06;

/** Times below the axis, as many as its width has room for. */
const TICKS = { least: 2, most: 4 };
const TICK_PX = 90;

/** Pixels that a crop, a number and a confidence need before the next stay in their lane. */
const ROOM = { all: 104, number: 60, crop: 34 };

/**
 * width: of the time axis in pixels, about. The ordered list beside it says the same in words: to a
 * screen reader this is decoration.
 */
export function itinerary(trajectory, width) {
  const span = spanOf(trajectory);
  const rows = trajectory.cameras;
  const names = new Map(trajectory.stays.map((stay) => [stay.camera_id, stay.camera_name]));
  const labels = rows.map((cameraId, row) =>
    placed(el("span", { class: "lane" }, names.get(cameraId)), { row: row + 1 }),
  );
  const stays = trajectory.stays.map((stay, n) => {
    const next = trajectory.stays.slice(n + 1).find((s) => s.camera_id === stay.camera_id);
    const until = next === undefined ? 1 : shareOf(next.start_time, span);
    const room = (until - shareOf(stay.start_time, span)) * width;
    return bar(stay, n, rows.indexOf(stay.camera_id), span, room);
  });
  const field = el("div", { class: "field" }, ways(trajectory.stays, rows, span), stays);
  const axis = el("div", { class: "axis" }, ticks(span, width));
  return placed(el("div", { class: "itinerary", "aria-hidden": "true" }, labels, field, axis), {
    rows: rows.length,
  });
}

function spanOf({ start_time: start, end_time: end }) {
  const from = Date.parse(start);
  const length = Math.max(Date.parse(end) - from, LEAST_MS);
  return { from: from - length * MARGIN, length: length * (1 + 3 * MARGIN) };
}

function shareOf(moment, span) {
  return (Date.parse(moment) - span.from) / span.length;
}

function bar(stay, n, row, span, room) {
  const from = shareOf(stay.start_time, span);
  const element = el(
    "span",
    { class: "stay", "data-bare": room < ROOM.crop },
    room < ROOM.crop ? null : picture(stay.crop, "", "crop"),
    room < ROOM.number ? null : el("span", { class: "number" }, String(n + 1)),
    room < ROOM.all ? null : el("span", { class: "figure" }, () => percent(stay.confidence)),
  );
  const length = shareOf(stay.end_time, span) - from;
  return placed(element, { from, length, row, confidence: stay.confidence });
}

/** Lines from the end of each stay to the start of the next. */
function ways(stays, rows, span) {
  const middle = (stay) => (rows.indexOf(stay.camera_id) + 0.5) / rows.length;
  const lines = stays.slice(1).map((stay, n) =>
    svg("line", {
      x1: shareOf(stays[n].end_time, span),
      y1: middle(stays[n]),
      x2: shareOf(stay.start_time, span),
      y2: middle(stay),
      "vector-effect": "non-scaling-stroke",
    }),
  );
  return svg("svg", { class: "ways", viewBox: "0 0 1 1", preserveAspectRatio: "none" }, lines);
}

function ticks(span, width) {
  const length = Math.min(Math.max(Math.floor(width / TICK_PX), TICKS.least), TICKS.most);
  return Array.from({ length }, (_, n) => {
    const share = n / (length - 1);
    const date = new Date(span.from + share * span.length);
    return placed(
      el("span", { class: "tick" }, () => clockTime(date)),
      { from: share },
    );
  });
}
