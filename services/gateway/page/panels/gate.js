/** No session -> a screen that says how to get a ticket, and takes one. */

import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";
import { spend, ticketIn } from "../floor/session.js";
import { problemNotice } from "../parts/notice.js";

/** why: none (nobody has come in), spent (the ticket was no good), over (the session has ended). */
export function gate(why) {
  const ticket = el("input", {
    name: "ticket",
    type: "text",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: () => t("gate.example"),
  });
  const notice = el("div", { class: "notices" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      await spend(ticketIn(ticket.value));
      location.reload();
    } catch (problem) {
      notice.replaceChildren(problemNotice(problem));
    }
  };
  return el(
    "section",
    { class: "gate", "data-gate": why, "aria-labelledby": "gate-title" },
    icon("ticket"),
    el("h2", { id: "gate-title" }, () => t(`gate.${why}`)),
    el("p", {}, () => t("gate.why")),
    el(
      "form",
      { onsubmit: submit },
      el(
        "label",
        {},
        el("span", {}, () => t("gate.paste")),
        ticket,
      ),
      el("button", { class: "primary" }, () => t("gate.enter")),
    ),
    notice,
    howTo(),
  );
}

function howTo() {
  const command = `curl -X POST -H "X-API-Key: $ADMIN_KEY" ${location.origin}/v1/tickets`;
  return el(
    "div",
    { class: "how" },
    el("h3", {}, () => t("gate.how")),
    el("p", {}, () => t("gate.how_start")),
    el("p", {}, () => t("gate.how_admin")),
    el("pre", {}, el("code", {}, command)),
    el("p", { class: "hint" }, () => t("gate.lasts")),
  );
}
