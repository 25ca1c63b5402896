/** An alert's frames -> a table of what their scores are made of. */

import { el } from "../floor/element.js";
import { number, score, t } from "../floor/language.js";
import { timeOf } from "./moment.js";

/** An empty text for an alert none of whose frames tells. */
export function readings({ evidence }) {
  const told = evidence.frames.filter((frame) => frame.score !== null);
  if (told.length === 0) return "";
  const parts = [...new Set(told.flatMap((frame) => Object.keys(frame.parts)))];
  const rows = told.map((frame) => row(frame, parts, frame.captured_at === evidence.worst_at));
  const heads = [
    ["readings.time"],
    ["readings.error"],
    ...parts.map((name) => ["readings.part", { name }]),
    ["readings.usual"],
    ["readings.rare"],
    ["readings.score"],
  ];
  return el(
    "div",
    { class: "readings" },
    el(
      "table",
      {},
      el("caption", {}, () => t("readings.title")),
      el("thead", {}, el("tr", {}, heads.map(head))),
      el("tbody", {}, rows),
    ),
    el("p", { class: "hint" }, () => t("readings.why")),
  );
}

function head([key, values]) {
  return el("th", { scope: "col" }, () => t(key, values));
}

function row(frame, parts, isWorst) {
  const cell = (words) => el("td", {}, words);
  const figure = (value) => cell(() => small(value));
  return el(
    "tr",
    { "data-worst": isWorst },
    el("th", { scope: "row" }, timeOf(frame.captured_at)),
    figure(frame.error),
    parts.map((name) => (name in frame.parts ? figure(frame.parts[name]) : cell("–"))),
    figure(frame.usual),
    figure(frame.rare),
    cell(() => score(frame.score)),
  );
}

function small(value) {
  return number(value, { maximumSignificantDigits: 3 });
}
