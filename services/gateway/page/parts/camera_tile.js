/** A camera -> its tile: newest picture, presence, frames a second, and its curve. */

import { get, serverNow } from "../floor/api.js";
import { el } from "../floor/element.js";
import { number, t } from "../floor/language.js";
import { poll } from "../floor/poll.js";
import { addressOf } from "../floor/route.js";
import { tellAgain } from "../floor/telling.js";
import { FrameRate } from "../stores/frame_rate.js";
import { Timeline } from "../stores/timeline.js";
import { learningBadge, presenceBadge, severityBadge } from "./badge.js";
import { Curve } from "./curve.js";
import { curveView } from "./curve_view.js";
import { isTampering, kindBadge } from "./kind.js";
import { Snapshot } from "./snapshot.js";

const EVERY_MS = 2_000;
const SPAN_MS = 5 * 60_000;

export class CameraTile {
  isSeen = false;
  #camera;
  #stores;
  #leaving = new AbortController();
  #isPolled = false;
  #rates = { accepted: new FrameRate(2_000), scored: new FrameRate(9_000) };
  #timeline;
  #snapshot;
  #curve;
  #name = el("strong", { class: "name" });
  #badges = el("span", { class: "badges" });
  #figures = { in: null, scored: null };
  #foot = el(
    "span",
    { class: "row quiet" },
    ["in", "scored"].map((name) =>
      el("span", {}, () => t(`camera.fps_${name}`, { fps: figure(this.#figures[name]) })),
    ),
    el("span", { class: "learns" }),
  );
  #marked = "";

  constructor(camera, stores, signal) {
    signal.addEventListener("abort", () => this.#leaving.abort());
    this.#stores = stores;
    this.#timeline = new Timeline(camera.id, "1s");
    this.#snapshot = new Snapshot(camera.id, "snapshot", this.#leaving.signal);
    this.#curve = new Curve({ signal: this.#leaving.signal });
    const head = el("span", { class: "head" }, this.#name, this.#badges);
    this.element = el(
      "li",
      { class: "tile", "data-camera": camera.id },
      el(
        "a",
        { class: "card", href: addressOf("cameras", camera.id) },
        el("span", { class: "stage" }, this.#snapshot.element, head),
        this.#curve.element,
        this.#foot,
      ),
    );
    this.update(camera);
  }

  update(camera) {
    this.#camera = camera;
    this.#name.textContent = camera.name || camera.id;
    this.mark();
  }

  /** Shows presence, and whether an alert is open here. */
  mark() {
    const presence = this.#stores.cameras.presenceOf(this.#camera.id);
    const [newest] = this.#stores.alerts.troublesOf(this.#camera.id);
    const marked = `${presence} ${newest?.severity} ${newest?.kind}`;
    if (marked === this.#marked) return;
    this.#marked = marked;
    this.element.dataset.presence = presence ?? "unknown";
    this.element.dataset.alarm = newest?.severity ?? "none";
    this.#badges.replaceChildren(
      ...(newest ? [severityBadge(newest.severity)] : []),
      ...(newest && isTampering(newest) ? [kindBadge(newest.kind)] : []),
      presenceBadge(presence),
    );
  }

  /** The tile has come into view or left it. */
  see(isSeen) {
    this.isSeen = isSeen;
    if (!isSeen || this.#isPolled) return;
    this.#isPolled = true;
    const { signal } = this.#leaving;
    poll(() => this.#look(signal), EVERY_MS, { signal, isSeen: () => this.isSeen });
  }

  remove() {
    this.#leaving.abort();
    this.element.remove();
  }

  async #look(signal) {
    const id = this.#camera.id;
    const status = await get(`/v1/cameras/${encodeURIComponent(id)}/status`, {}, signal);
    this.#stores.cameras.learnPresence(id, status.presence);
    this.#tell(status);
    await Promise.all([
      this.#snapshot.refresh(status.last_arrival_at, signal),
      this.#draw(status.last_capture_time, signal),
    ]);
  }

  #tell({ account, learning, last_arrival_at: arrived }) {
    const now = serverNow();
    this.#figures.in = this.#rates.accepted.learn(account.accepted, Date.parse(arrived ?? 0), now);
    this.#figures.scored = this.#rates.scored.learn(account.groups.anomaly.done, now, now);
    this.#foot.lastElementChild.replaceChildren(...(learning ? [learningBadge()] : []));
    tellAgain(this.#foot);
  }

  async #draw(newest, signal) {
    if (newest === null) return;
    const to = Date.parse(newest) + 1;
    await this.#timeline.read(to - SPAN_MS, to, signal);
    const alerts = this.#stores.alerts.anomaliesOf(this.#camera.id);
    this.#curve.show(curveView(this.#timeline, to - SPAN_MS, to, alerts));
  }
}

function figure(rate) {
  const digits = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return rate === null ? "–" : number(rate, digits);
}
