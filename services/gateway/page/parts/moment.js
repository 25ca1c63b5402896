/** A moment -> a <time> that says how long ago it was, and exactly when. */

import { serverNow } from "../floor/api.js";
import { el } from "../floor/element.js";
import { ago, clockTime, fullTime } from "../floor/language.js";
import { tellAgain } from "../floor/telling.js";

/** "12 s ago"; keeps itself up to date. */
export function sinceThen(moment) {
  const date = new Date(moment);
  const words = () => ago(date, serverNow());
  return el("time", { datetime: moment, title: () => fullTime(date), class: "since" }, words);
}

/** "14:03:22", with the date where it is not today's. */
export function timeOf(moment) {
  const date = new Date(moment);
  return el("time", { datetime: moment, title: () => fullTime(date) }, () => clockTime(date));
}

/** Keeps every "ago" true; for the page's whole life. */
export function keepTime() {
  setInterval(() => document.hidden || tellAgain(document, "time.since[data-told]"), 1_000);
}
