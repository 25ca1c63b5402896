/** /v1/cameras and the presence events -> the cameras by id, and whether each is there. */

import { get } from "../floor/api.js";
import { poll } from "../floor/poll.js";
import { ResourceList } from "./resource_list.js";

const AGAIN_MS = 20_000;
const PAGE = 1_000;

/** Dispatches `presence` with a camera's id too. */
export class Cameras extends ResourceList {
  #presence = new Map();

  constructor(feed, signal) {
    super();
    for (const state of ["online", "offline"]) {
      feed.addEventListener(`camera.${state}`, (event) => {
        this.learnPresence(event.detail.camera_id, state);
      });
    }
    // No event tells of a camera that was registered, renamed or deleted.
    feed.addEventListener("reset", () => this.reload(() => this.#read()));
    poll(() => this.isLoaded && this.reload(() => this.#read()), AGAIN_MS, { signal });
  }

  get byName() {
    return [...this.items.values()].sort((a, b) => a.name.localeCompare(b.name));
  }

  nameOf(cameraId) {
    return this.items.get(cameraId)?.name || cameraId;
  }

  /** new, online or offline; null where nobody has said yet. */
  presenceOf(cameraId) {
    return this.#presence.get(cameraId) ?? null;
  }

  learnPresence(cameraId, presence) {
    if (this.#presence.get(cameraId) === presence) return;
    this.#presence.set(cameraId, presence);
    this.dispatchEvent(new CustomEvent("presence", { detail: cameraId }));
  }

  async #read() {
    return (await get("/v1/cameras", { limit: PAGE })).items;
  }
}
