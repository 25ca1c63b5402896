/** /v1/events/stream -> events of this target, one type each, none missed while it was away. */

import { get } from "./api.js";

const TYPES = [
  "alert.opened",
  "alert.updated",
  "alert.reopened",
  "alert.closed",
  "incident.opened",
  "incident.reopened",
  "incident.updated",
  "incident.closed",
  "person.sighted",
  "person.revised",
  "camera.online",
  "camera.offline",
];

const AGAIN_MS = 2_000;

/**
 * Dispatches each event by its type with the resource as `detail`; `reset` when lists must be read
 * (anew); `state` when `state` changes: connecting, live, away.
 */
export class Feed extends EventTarget {
  state = "connecting";
  #source = null;
  #lastId = null;
  #signal;

  constructor(signal) {
    super();
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#source?.close());
  }

  open() {
    if (this.#signal.aborted) return;
    const after = this.#lastId ? `?after=${encodeURIComponent(this.#lastId)}` : "";
    const source = new EventSource(`/v1/events/stream${after}`);
    this.#source = source;
    source.addEventListener("open", () => this.#opened());
    source.addEventListener("error", () => this.#lost(source));
    source.addEventListener("reset", () => this.#tell("reset"));
    for (const type of TYPES) source.addEventListener(type, (event) => this.#hear(type, event));
  }

  #opened() {
    this.#enter("live");
    // Nothing heard yet: the stream has no place to go on from, and only the lists know.
    if (this.#lastId === null) this.#tell("reset");
  }

  #hear(type, event) {
    this.#lastId = event.lastEventId;
    this.#tell(type, JSON.parse(event.data).data);
  }

  #lost(source) {
    this.#enter("away");
    // The browser comes back by itself, unless it was answered with an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#again(), AGAIN_MS);
  }

  async #again() {
    // An answer of 401 rings the doorbell, which the stream itself cannot.
    await get("/v1/cameras", { limit: 1 }).catch(() => {});
    this.open();
  }

  #enter(state) {
    if (state === this.state) return;
    this.state = state;
    this.#tell("state");
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
