/** Path, query, body -> the gateway's answer, or a Problem that says what is wrong. */

/** What went wrong, as the gateway tells it (RFC 9457); status 0: there was no answer. */
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** Hears `unauthenticated` when the session is over. */
export const doorbell = new EventTarget();

/** How far the server's clock is ahead of this browser's, in milliseconds. */
let aheadMs = 0;

/** Now by the server's clock: "12 seconds ago" must not depend on this machine's. */
export function serverNow() {
  return Date.now() + aheadMs;
}

export async function get(path, query = {}, signal = undefined) {
  return (await ask(path + asQuery(query), { signal })).json();
}

/** body: a FormData, or what becomes JSON. */
export async function post(path, body, query = {}, signal = undefined) {
  const isForm = body instanceof FormData;
  const request = {
    method: "POST",
    body: isForm ? body : JSON.stringify(body),
    headers: isForm ? {} : { "Content-Type": "application/json" },
    signal,
  };
  return (await ask(path + asQuery(query), request)).json();
}

/** Deletes what the path names; the gateway's answer. */
export async function erase(path, query = {}, signal = undefined) {
  return (await ask(path + asQuery(query), { method: "DELETE", signal })).json();
}

/** A picture's bytes, past the browser's cache. */
export async function picture(path, signal = undefined) {
  return (await ask(path, { signal, cache: "no-store" })).blob();
}

async function ask(path, request) {
  let response;
  try {
    response = await fetch(path, { ...request, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no_answer", String(error));
  }
  learnClock(response.headers.get("Date"));
  if (response.ok) return response;
  const problem = await told(response);
  if (response.status === 401 && path !== "/v1/sessions") {
    doorbell.dispatchEvent(new Event("unauthenticated"));
  }
  throw problem;
}

async function told(response) {
  try {
    const { code, detail } = await response.json();
    return new Problem(response.status, code, detail);
  } catch {
    return new Problem(response.status, "unexplained", response.statusText);
  }
}

function learnClock(date) {
  const server = Date.parse(date ?? "");
  // The header has whole seconds, so that half a second is the best guess.
  if (!Number.isNaN(server) && Math.abs(server + 500 - serverNow()) > 1_500) {
    aheadMs = server + 500 - Date.now();
  }
}

function asQuery(query) {
  const sent = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one != null) sent.append(name, one);
  }
  return sent.size ? `?${sent}` : "";
}
