/** /v1/system/accounts -> one line: every accepted frame, and what became of it. */

import { get } from "../floor/api.js";
import { el, icon } from "../floor/element.js";
import { number, t } from "../floor/language.js";
import { poll } from "../floor/poll.js";

const EVERY_MS = 3_000;

/** What can become of a frame, as the line names it; `done` is called after the group's work. */
const OUTCOMES = ["done", "unscored", "expired", "shed", "dead", "in_flight"];

export class AccountsLine {
  element = el("div", { class: "accounts" });

  constructor(signal) {
    poll(() => this.#read(signal), EVERY_MS, { signal, failed: () => this.#grey() });
  }

  async #read(signal) {
    const account = await get("/v1/system/accounts", {}, signal);
    this.element.removeAttribute("data-stale");
    const groups = Object.entries(account.groups).map(([name, group]) =>
      line(name, group, account),
    );
    this.element.replaceChildren(...groups);
  }

  /** The figures stay, but are seen to be of a while ago. */
  #grey() {
    this.element.dataset.stale = "";
  }
}

function line(name, group, { accepted, thinned }) {
  const parts = [["thinned", thinned], ...OUTCOMES.map((outcome) => [outcome, group[outcome]])];
  const isEven = accepted === parts.reduce((sum, [, frames]) => sum + frames, 0);
  const told = ([outcome, frames]) =>
    el(
      "span",
      { class: "term", "data-outcome": outcome, "data-none": frames === 0 },
      figure(frames),
      () => t(`account.${outcome}_${name}`),
    );
  return el(
    "p",
    { class: "account", title: () => t(`account.why_${name}`), "data-group": name },
    el("strong", {}, () => t(`account.${name}`)),
    el("span", { class: "term" }, figure(accepted), () => t("account.accepted")),
    el("span", { class: "equals" }, isEven ? "=" : "≠"),
    parts.filter(([outcome, frames]) => frames > 0 || outcome === "done").map(told),
    icon(isEven ? "state-closed" : "problem"),
  );
}

function figure(frames) {
  return el("b", {}, () => number(frames));
}
