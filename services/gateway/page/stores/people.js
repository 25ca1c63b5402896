/** /v1/sightings and person.sighted -> the people seen lately, each with their newest sighting. */

import { get } from "../floor/api.js";
import { ResourceList } from "./resource_list.js";

const READ = 200;
const MOST_PEOPLE = 36;
const BETTER = 0.1;

/** A change of many sightings is told in parts: the list is read when it seems to be through. */
const SOON_MS = 300;

/**
 * Items are people: {id, crop, quality, camera_id, seen_at, confidence}. Dispatches `revised` with
 * {person_ids} when users have said who is who.
 */
export class People extends ResourceList {
  #later = null;

  constructor(feed) {
    super();
    feed.addEventListener("reset", () => this.reload(() => this.#read()));
    feed.addEventListener("person.sighted", (event) => {
      this.hear(this.#seen(event.detail, this.items));
      this.#forgetOldest();
    });
    feed.addEventListener("person.revised", ({ detail }) => this.#revise(detail));
  }

  #revise(detail) {
    this.dispatchEvent(new CustomEvent("revised", { detail }));
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.reload(() => this.#read()), SOON_MS);
  }

  async #read() {
    const { items } = await get("/v1/sightings", { limit: READ });
    const people = new Map();
    for (const sighting of items.reverse()) {
      people.set(sighting.person_id, this.#seen(sighting, people));
    }
    return [...people.values()].slice(-MOST_PEOPLE);
  }

  /** The person after one more sighting. A crop stays until a clearly better one comes. */
  #seen(sighting, people) {
    const before = people.get(sighting.person_id);
    const isBetter = before === undefined || sighting.quality > before.quality + BETTER;
    return {
      id: sighting.person_id,
      camera_id: sighting.camera_id,
      seen_at: sighting.end_time,
      confidence: sighting.confidence,
      crop: isBetter ? sighting.crop : before.crop,
      quality: isBetter ? sighting.quality : before.quality,
    };
  }

  #forgetOldest() {
    if (this.items.size <= MOST_PEOPLE) return;
    const [oldest] = [...this.items.values()].sort((a, b) => (a.seen_at < b.seen_at ? -1 : 1));
    this.forget(oldest);
  }
}
