/** An alert -> its card in the list, kept up to date in place. */

import { el } from "../floor/element.js";
import { score, t } from "../floor/language.js";
import { addressOf } from "../floor/route.js";
import { learningBadge, severityBadge, stateBadge } from "./badge.js";
import { evidencePair, viewOf } from "./evidence.js";
import { isTampering, kindBadge } from "./kind.js";
import { sinceThen, timeOf } from "./moment.js";

export class AlertCard {
  #cameras;
  #link;
  #evidence = null;
  #shown = "";

  constructor(alert, cameras) {
    this.#cameras = cameras;
    this.#link = el("a", { class: "card", href: addressOf("alerts", alert.id) });
    this.element = el("li", { class: "alert" }, this.#link);
    this.update(alert);
  }

  update(alert) {
    this.alert = alert;
    this.element.dataset.severity = alert.severity;
    this.element.dataset.state = alert.state;
    this.element.dataset.alert = alert.id;
    this.#link.replaceChildren(this.#head(), ...this.#pictures(), this.#foot());
  }

  #head() {
    const { kind, severity, camera_id: cameraId, start_time: start } = this.alert;
    return el(
      "span",
      { class: "row" },
      severityBadge(severity),
      kind === "anomaly" ? null : kindBadge(kind),
      el("strong", { class: "name" }, () => this.#cameras.nameOf(cameraId)),
      sinceThen(start),
    );
  }

  /** The same pictures stay as they are: they must not load twice. */
  #pictures() {
    if (this.alert.kind === "camera_offline") return [el("span", {}, () => t("alert.offline"))];
    const { kind, evidence, regions } = this.alert;
    const wanted = JSON.stringify([kind, evidence, regions]);
    if (wanted !== this.#shown) {
      this.#evidence = isTampering(this.alert) ? viewOf(this.alert) : evidencePair(this.alert);
      this.#shown = wanted;
    }
    return [this.#evidence];
  }

  #foot() {
    const alert = this.alert;
    const told =
      alert.kind === "anomaly" &&
      el("span", { class: "score", title: () => t("score.why") }, () =>
        t("score.told", { score: score(alert.peak_score) }),
      );
    return el(
      "span",
      { class: "row quiet" },
      timeOf(alert.start_time),
      told || null,
      alert.learning ? learningBadge() : null,
      stateBadge(alert.state),
    );
  }
}
