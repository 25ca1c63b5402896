/** The ticket in the address -> a session, kept in a cookie that no script can read. */

import { get, post } from "./api.js";

/**
 * "open", "none" (no session, no ticket) or "spent" (the ticket is no good). A spent ticket does no
 * harm to a session that still lasts. Raises Problem without an answer: the ticket then stays.
 */
export async function enter() {
  const ticket = new URLSearchParams(location.search).get("ticket");
  const isSpent = ticket !== null && !(await isAdmitted(() => spend(ticket)));
  history.replaceState(null, "", location.pathname + location.hash);
  if (await isAdmitted(() => get("/v1/cameras", { limit: 1 }))) return "open";
  return isSpent ? "spent" : "none";
}

/** Spends a ticket. Raises Problem. */
export function spend(ticket) {
  return post("/v1/sessions", { ticket });
}

/** The ticket in what somebody has pasted: itself, or the page's whole address. */
export function ticketIn(text) {
  const found = /[?&]ticket=([^&#\s]+)/.exec(text);
  return found ? decodeURIComponent(found[1]) : text.trim();
}

async function isAdmitted(ask) {
  try {
    await ask();
    return true;
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    return false;
  }
}
