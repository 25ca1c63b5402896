/** An alert's id -> its pictures, the curve around it, and what else its incident holds. */

import { get, serverNow } from "../floor/api.js";
import { el } from "../floor/element.js";
import { lasting, score, t } from "../floor/language.js";
import { poll } from "../floor/poll.js";
import { addressOf } from "../floor/route.js";
import { learningBadge, severityBadge, stateBadge } from "../parts/badge.js";
import { confidence, personLink } from "../parts/crop.js";
import { Curve } from "../parts/curve.js";
import { curveView } from "../parts/curve_view.js";
import { frameOf, viewOf } from "../parts/evidence.js";
import { explanation } from "../parts/explanation.js";
import { facts } from "../parts/facts.js";
import { isTampering, kindBadge, kindTold } from "../parts/kind.js";
import { sinceThen, timeOf } from "../parts/moment.js";
import { emptyNotice } from "../parts/notice.js";
import { picture } from "../parts/picture.js";
import { readings } from "../parts/readings.js";
import { Timeline } from "../stores/timeline.js";

const AROUND_MS = 60_000;
const EVERY_MS = 3_000;

export async function alertDetail(id, stores, signal) {
  const alert = await get(`/v1/alerts/${encodeURIComponent(id)}`, {}, signal);
  const incident = await get(`/v1/incidents/${alert.incident_id}`, {}, signal);
  const left = el("div", { class: "main" });
  const right = el("div", { class: "side" });
  let shown = picturesOf(alert);
  const tell = (newest) => {
    // The same pictures stay: whoever looks at one must not lose it, nor the focus.
    if (picturesOf(newest) !== shown) {
      left.querySelector(".pictures").replaceWith(pictures(newest));
      shown = picturesOf(newest);
    }
    right.querySelector(".facts").replaceWith(alertFacts(newest, stores.cameras));
  };
  left.append(pictures(alert), curveAround(alert, stores, signal));
  right.append(
    alertFacts(alert, stores.cameras),
    people(incident),
    others(incident, alert, stores),
  );
  stores.alerts.addEventListener(
    "changed",
    ({ detail }) => detail.item.id === id && tell(detail.item),
    { signal },
  );
  const name = el("span", {}, () => stores.cameras.nameOf(alert.camera_id));
  const kind = alert.kind === "anomaly" ? "" : kindBadge(alert.kind);
  return { title: [severityBadge(alert.severity), kind, name], body: [left, right] };
}

function picturesOf({ kind, evidence, regions }) {
  return JSON.stringify([kind, evidence, regions]);
}

function pictures(alert) {
  if (alert.kind === "camera_offline") {
    return el("div", { class: "pictures notice" }, kindTold(alert.kind));
  }
  const element = el(
    "div",
    { class: "pictures" },
    isTampering(alert) ? [kindTold(alert.kind), viewOf(alert)] : explanation(alert),
    el("div", { class: "frames" }, alert.evidence.frames.map(thumbnail)),
    isTampering(alert) ? null : readings(alert),
  );
  return element;

  function thumbnail(frame) {
    const enlarge = () => element.querySelector(".frame").replaceWith(frameOf(alert, frame));
    return el(
      "button",
      { type: "button", onclick: enlarge },
      picture(frame.image, () => t("picture.frame"), "thumbnail"),
      timeOf(frame.captured_at),
    );
  }
}

function alertFacts(alert, cameras) {
  const end = alert.end_time === null ? serverNow() : Date.parse(alert.end_time);
  const camera = el("a", { href: addressOf("cameras", alert.camera_id) }, () =>
    cameras.nameOf(alert.camera_id),
  );
  return facts(
    {
      "fact.camera": camera,
      "fact.state": [stateBadge(alert.state), alert.learning ? learningBadge() : null],
      "fact.began": [timeOf(alert.start_time), sinceThen(alert.start_time)],
      "fact.peak": alert.kind === "anomaly" ? timeOf(alert.peak_time) : null,
      "fact.lasted": () => lasting(end - Date.parse(alert.start_time)),
      "fact.score":
        alert.kind === "anomaly"
          ? el("span", { title: () => t("score.why") }, () => score(alert.peak_score))
          : null,
      "fact.regions": alert.regions.length ? String(alert.regions.length) : null,
      "fact.model": alert.model,
    },
    alert.learning ? "learning.why" : null,
  );
}

function curveAround(alert, { alerts }, signal) {
  const curve = new Curve({ isDetailed: true, signal });
  const timeline = new Timeline(alert.camera_id, "frame");
  const from = Date.parse(alert.start_time) - AROUND_MS;
  const draw = async () => {
    const newest = alerts.items.get(alert.id) ?? alert;
    const to = newest.end_time === null ? serverNow() : Date.parse(newest.end_time) + AROUND_MS;
    await timeline.read(from, to, signal);
    const all = [newest, ...alerts.anomaliesOf(alert.camera_id).filter((a) => a.id !== alert.id)];
    curve.show(curveView(timeline, from, to, all));
  };
  poll(draw, EVERY_MS, { signal });
  return el(
    "figure",
    {},
    el("figcaption", {}, () => t("curve.around")),
    curve.element,
  );
}

function people({ persons }) {
  const found = persons.map((person) =>
    el(
      "li",
      {},
      personLink(
        person.person_id,
        person.crop,
        el("span", { class: "below" }, confidence(person.confidence)),
      ),
    ),
  );
  return el(
    "section",
    {},
    el("h3", {}, () => t("incident.people")),
    found.length ? el("ul", { class: "people" }, found) : emptyNotice("incident.nobody"),
  );
}

function others({ alerts }, alert, { cameras }) {
  const rest = alerts.filter((other) => other.id !== alert.id);
  if (rest.length === 0) return "";
  const link = (other) =>
    el(
      "li",
      {},
      el(
        "a",
        { class: "card line", href: addressOf("alerts", other.id) },
        severityBadge(other.severity),
        el("span", { class: "name" }, () => cameras.nameOf(other.camera_id)),
        timeOf(other.start_time),
      ),
    );
  return el(
    "section",
    {},
    el("h3", {}, () => t("incident.alerts")),
    el("ul", { class: "lines" }, rest.map(link)),
  );
}
