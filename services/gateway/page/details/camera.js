/** A camera's id -> its picture large, its figures, and a longer curve. */

import { get } from "../floor/api.js";
import { el } from "../floor/element.js";
import { lasting, number, score, t } from "../floor/language.js";
import { poll } from "../floor/poll.js";
import { addressOf } from "../floor/route.js";
import { learningBadge, presenceBadge, severityBadge } from "../parts/badge.js";
import { choice } from "../parts/choice.js";
import { Curve } from "../parts/curve.js";
import { curveView } from "../parts/curve_view.js";
import { facts } from "../parts/facts.js";
import { timeOf } from "../parts/moment.js";
import { emptyNotice } from "../parts/notice.js";
import { Snapshot } from "../parts/snapshot.js";
import { Timeline } from "../stores/timeline.js";

const EVERY_MS = 1_500;
const MOST_ALERTS = 8;
const MINUTE_MS = 60_000;

/** What one point stands for, so that a curve has some hundred points at any length. */
const BUCKETS = { 5: "1s", 30: "10s", 180: "1m" };

export async function cameraDetail(id, stores, signal) {
  const path = `/v1/cameras/${encodeURIComponent(id)}`;
  const camera = await get(path, {}, signal);
  const snapshot = new Snapshot(id, "large", signal);
  const history = new History(id, stores.alerts, signal);
  const side = el("div", { class: "side" }, el("div", { class: "facts" }), el("section", {}));
  const badge = el("span", {});
  const look = async () => {
    const status = await get(`${path}/status`, {}, signal);
    stores.cameras.learnPresence(id, status.presence);
    badge.replaceChildren(presenceBadge(status.presence));
    side.firstElementChild.replaceWith(cameraFacts(camera, status));
    await Promise.all([
      snapshot.refresh(status.last_arrival_at, signal),
      history.draw(status.last_capture_time),
    ]);
  };
  const list = () => side.lastElementChild.replaceWith(alertsHere(id, stores.alerts));
  for (const type of ["loaded", "changed"]) stores.alerts.addEventListener(type, list, { signal });
  list();
  poll(look, EVERY_MS, { signal });
  return {
    title: [el("span", {}, camera.name || camera.id), badge],
    body: [el("div", { class: "main" }, snapshot.element, history.element), side],
  };
}

class History {
  #id;
  #alerts;
  #signal;
  #minutes = 5;
  #newest = null;
  #timeline;
  #curve;

  constructor(id, alerts, signal) {
    this.#id = id;
    this.#alerts = alerts;
    this.#signal = signal;
    this.#curve = new Curve({ isDetailed: true, signal });
    this.#reach(this.#minutes);
    const lengths = Object.fromEntries(
      Object.keys(BUCKETS).map((minutes) => [minutes, () => lasting(Number(minutes) * MINUTE_MS)]),
    );
    const choose = choice(
      () => t("curve.length"),
      lengths,
      "5",
      (minutes) => {
        this.#reach(Number(minutes));
        this.draw(this.#newest).catch(() => {});
      },
    );
    this.element = el(
      "figure",
      {},
      el(
        "figcaption",
        {},
        el("span", {}, () => t("curve.regularity")),
        choose,
      ),
      this.#curve.element,
      el("p", { class: "hint" }, () => t("curve.legend")),
    );
  }

  async draw(newest) {
    if (newest === null) return;
    this.#newest = newest;
    const to = Date.parse(newest) + 1;
    const from = to - this.#minutes * MINUTE_MS;
    const timeline = this.#timeline;
    await timeline.read(from, to, this.#signal);
    // Another length may have been chosen meanwhile.
    if (timeline !== this.#timeline) return;
    this.#curve.show(curveView(timeline, from, to, this.#alerts.anomaliesOf(this.#id)));
  }

  #reach(minutes) {
    this.#minutes = minutes;
    this.#timeline = new Timeline(this.#id, BUCKETS[minutes]);
  }
}

function cameraFacts(camera, status) {
  const { accepted, thinned } = status.account;
  return facts(
    {
      "fact.id": camera.id,
      "fact.site": camera.site || null,
      "fact.mode": () => t(`mode.${camera.mode}`),
      "fact.baseline": status.learning ? learningBadge() : () => t("baseline.stands"),
      "fact.last_frame": status.last_capture_time && timeOf(status.last_capture_time),
      "fact.skew":
        status.skew_s === null ? null : () => t("fact.seconds", { seconds: status.skew_s }),
      "fact.analysis_fps": () => number(camera.analysis_fps),
      "fact.frames": () => t("fact.frames_told", { accepted, thinned }),
      "fact.masks": camera.masks.length ? () => number(camera.masks.length) : null,
    },
    status.learning ? "learning.why" : null,
  );
}

function alertsHere(id, alerts) {
  const latest = alerts.newestFirst.filter((a) => a.camera_id === id).slice(0, MOST_ALERTS);
  const line = (alert) =>
    el(
      "li",
      {},
      el(
        "a",
        { class: "card line", href: addressOf("alerts", alert.id) },
        severityBadge(alert.severity),
        el(
          "span",
          { class: "score" },
          alert.kind === "anomaly" ? () => score(alert.peak_score) : "",
        ),
        timeOf(alert.start_time),
      ),
    );
  return el(
    "section",
    {},
    el("h3", {}, () => t("camera.alerts")),
    latest.length
      ? el("ul", { class: "lines" }, latest.map(line))
      : emptyNotice("camera.no_alerts"),
  );
}
