/** The store of alerts -> the list of their cards, the newest first. */

import { el } from "../floor/element.js";
import { t } from "../floor/language.js";
import { AlertCard } from "../parts/alert_card.js";
import { choice } from "../parts/choice.js";
import { emptyNotice, loadingNotice, problemNotice } from "../parts/notice.js";
import { panel } from "../parts/panel.js";

const KEPT = "citybrain.pictures";

export class AlertsPanel {
  #stores;
  #cards = new Map();
  #list = el("ol", { class: "alerts" });
  #notice = el("div", { class: "notices" }, loadingNotice());
  #older = el(
    "button",
    { type: "button", class: "older", hidden: true, onclick: () => this.#loadOlder() },
    () => t("alerts.older"),
  );
  #spoken = el("p", { class: "unseen", role: "log", "aria-live": "polite" });

  constructor(stores) {
    this.#stores = stores;
    const body = el("div", { class: "body" }, this.#notice, this.#list, this.#older, this.#spoken);
    this.element = panel("alerts", [this.#filter(), this.#pictures()], body);
    const { alerts } = stores;
    alerts.addEventListener("loaded", () => this.#arrange());
    alerts.addEventListener("changed", ({ detail }) => this.#take(detail));
    alerts.addEventListener("forgotten", () => this.#arrange());
    alerts.addEventListener("failed", ({ detail }) => this.#fail(detail));
  }

  #filter() {
    const options = { all: () => t("alerts.all"), open: () => t("alerts.open") };
    return choice(
      () => t("alerts.filter"),
      options,
      "all",
      (value) => {
        this.element.dataset.filter = value;
        this.#note();
      },
    );
  }

  #pictures() {
    const kept = localStorage.getItem(KEPT) ?? "both";
    const options = {
      both: () => t("alerts.both"),
      frame: () => t("alerts.frame"),
      heat: () => t("alerts.heat"),
    };
    this.#list.dataset.pictures = kept;
    return choice(
      () => t("alerts.pictures"),
      options,
      kept,
      (value) => {
        localStorage.setItem(KEPT, value);
        this.#list.dataset.pictures = value;
      },
    );
  }

  #take({ item, isNew }) {
    if (!isNew) this.#cards.get(item.id).update(item);
    else {
      this.#arrange();
      this.#cards.get(item.id).element.dataset.fresh = "";
      this.#spoken.textContent = t("alerts.spoken", {
        severity: t(`severity.${item.severity}`),
        kind: t(`kind.${item.kind}`),
        camera: this.#stores.cameras.nameOf(item.camera_id),
      });
    }
    this.#note();
  }

  /** Brings the cards into the store's order; cards that stay are neither moved nor made again. */
  #arrange() {
    const alerts = this.#stores.alerts.newestFirst;
    const known = new Set(alerts.map((alert) => alert.id));
    for (const [id, card] of this.#cards) if (!known.has(id)) this.#drop(id, card);
    let before = this.#list.firstElementChild;
    for (const alert of alerts) {
      const { element } = this.#cardOf(alert);
      if (element === before) before = before.nextElementSibling;
      else this.#list.insertBefore(element, before);
    }
    this.#older.hidden = !this.#stores.alerts.hasOlder;
    this.#note();
  }

  #cardOf(alert) {
    const card = this.#cards.get(alert.id);
    if (card === undefined) this.#cards.set(alert.id, new AlertCard(alert, this.#stores.cameras));
    else if (card.alert !== alert) card.update(alert);
    return this.#cards.get(alert.id);
  }

  #drop(id, card) {
    card.element.remove();
    this.#cards.delete(id);
  }

  #note() {
    const { alerts } = this.#stores;
    const isOpenOnly = this.element.dataset.filter === "open";
    const shown = isOpenOnly ? alerts.open.length : alerts.items.size;
    const empty = () => emptyNotice(isOpenOnly ? "alerts.none_open" : "alerts.none");
    if (alerts.isLoaded) this.#notice.replaceChildren(...(shown ? [] : [empty()]));
  }

  #fail(problem) {
    this.#notice.replaceChildren(problemNotice(problem));
  }

  async #loadOlder() {
    this.#older.disabled = true;
    await this.#stores.alerts.loadOlder().catch((problem) => this.#fail(problem));
    this.#older.disabled = false;
  }
}
