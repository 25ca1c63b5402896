/** A list read once and the events that came meanwhile -> the newest state of every item. */

/**
 * Dispatches `changed` with the item, `loaded` when the list has been read (again), `failed` with
 * the Problem where it could not be, `forgotten` with the item.
 */
export class ResourceList extends EventTarget {
  items = new Map();
  isLoaded = false;
  #waiting = null;
  #reading = Promise.resolve();

  /** read(): the items. Two readings run one after the other. */
  reload(read) {
    this.#reading = this.#reading.then(() => this.#reload(read));
    return this.#reading;
  }

  /** Takes an item in its newest state. */
  hear(item) {
    if (this.#waiting !== null) {
      this.#waiting.push(item);
      return;
    }
    const isNew = !this.items.has(item.id);
    this.items.set(item.id, item);
    this.#tell("changed", { item, isNew });
  }

  /** Lets go of an item: a page that is open for weeks must not grow. */
  forget(item) {
    this.items.delete(item.id);
    this.#tell("forgotten", item);
  }

  /** Adds what an older page of the list holds, unless an event has told of it since. */
  add(items) {
    for (const item of items) if (!this.items.has(item.id)) this.items.set(item.id, item);
    this.#tell("loaded");
  }

  /** What is heard while the list is read is taken in after it, or it would be undone. */
  async #reload(read) {
    this.#waiting = [];
    try {
      const items = await read();
      this.items = new Map(items.map((item) => [item.id, item]));
      this.isLoaded = true;
      this.#tell("loaded");
    } catch (problem) {
      this.#tell("failed", problem);
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    for (const item of waiting) this.hear(item);
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
