/** The feed's state and the stores' figures -> the bar at the top: what matters at a glance. */

import { serverNow } from "../floor/api.js";
import { el, icon } from "../floor/element.js";
import { LANGUAGES, choose, clockTime, fullTime, spoken, t } from "../floor/language.js";
import { keepTold, tellAgain } from "../floor/telling.js";
import { choice } from "../parts/choice.js";

/** stores, feed null: before anybody has come in. */
export function bar(feed = null, stores = null) {
  const inside = feed && [connection(feed), figures(stores), clock()];
  return [el("h1", { class: "brand" }, icon("brand"), "CityBrain"), ...(inside ?? []), languages()];
}

function connection(feed) {
  const pill = el("span", { class: "pill connection", role: "status" });
  const told = el("span", {}, () => t(`connection.${feed.state}`));
  pill.append(el("span", { class: "dot" }), told);
  const tell = () => {
    pill.dataset.connection = feed.state;
    tellAgain(pill);
  };
  feed.addEventListener("state", tell);
  tell();
  return pill;
}

function figures({ alerts, cameras }) {
  const open = el("span", { class: "pill", "data-figure": "open" });
  keepTold(open, () => {
    open.textContent = t("bar.open", { count: alerts.open.length });
    open.toggleAttribute("data-alarmed", alerts.open.length > 0);
  });
  const present = el("span", { class: "pill", "data-figure": "cameras" }, () => {
    const offline = alerts.open.filter((alert) => alert.kind === "camera_offline").length;
    const count = cameras.items.size;
    return offline ? t("bar.cameras_offline", { count, offline }) : t("bar.cameras", { count });
  });
  const element = el("span", { class: "figures" }, open, present);
  const tell = () => tellAgain(element);
  for (const store of [alerts, cameras]) {
    for (const type of ["loaded", "changed"]) store.addEventListener(type, tell);
  }
  return element;
}

function clock() {
  return el("time", { class: "since clock", title: () => fullTime(new Date(serverNow())) }, () =>
    clockTime(new Date(serverNow())),
  );
}

function languages() {
  const names = Object.entries(LANGUAGES).map(([code, name]) => [code, () => name]);
  return choice(() => t("bar.language"), Object.fromEntries(names), spoken(), choose);
}
