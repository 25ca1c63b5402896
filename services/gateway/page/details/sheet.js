/** The open address -> a dialog above the panels with the details of one thing. */

import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";
import { leave, opened } from "../floor/route.js";
import { loadingNotice, problemNotice } from "../parts/notice.js";

/**
 * details: noun of the address -> an async function of (id, stores, signal) that gives {title,
 * body}; its signal aborts when the sheet closes. A Problem that it raises is shown in its place.
 */
export class Sheet {
  #details;
  #stores;
  #leaving = null;
  #title = el("h2", { id: "sheet-title", tabindex: "-1", autofocus: true });
  #body = el("div", { class: "body" });

  constructor(details, stores, signal) {
    this.#details = details;
    this.#stores = stores;
    const close = el(
      "button",
      {
        type: "button",
        class: "close",
        onclick: leave,
        "aria-label": () => t("sheet.close"),
        title: () => t("sheet.close"),
      },
      icon("close"),
    );
    this.element = el(
      "dialog",
      {
        class: "sheet",
        "aria-labelledby": "sheet-title",
        onclose: leave,
        onclick: (event) => event.target === this.element && leave(),
      },
      el("header", {}, this.#title, close),
      this.#body,
    );
    addEventListener("hashchange", () => this.follow(), { signal });
    signal.addEventListener("abort", () => this.#close());
  }

  /** Shows what the address names, or closes where it names nothing. */
  async follow() {
    this.#leaving?.abort();
    const wanted = opened();
    const detail = this.#details[wanted?.noun];
    if (detail === undefined) {
      this.#close();
      return;
    }
    this.#leaving = new AbortController();
    await this.#show(detail, wanted, this.#leaving.signal);
  }

  async #show(detail, { noun, id }, signal) {
    this.element.dataset.noun = noun;
    this.#title.replaceChildren(el("span", {}, () => t(`sheet.${noun}`)));
    this.#body.replaceChildren(loadingNotice());
    if (!this.element.open) this.element.showModal();
    this.#body.scrollTop = 0;
    try {
      const { title, body } = await detail(id, this.#stores, signal);
      if (signal.aborted) return;
      this.#title.replaceChildren(...title);
      this.#body.replaceChildren(...body);
    } catch (problem) {
      if (!signal.aborted) this.#body.replaceChildren(problemNotice(problem));
    }
  }

  #close() {
    this.#leaving?.abort();
    this.element.close();
    this.#body.replaceChildren();
  }
}
