/** /v1/alerts and the alert events -> all alerts that the page knows, the newest first. */

import { get } from "../floor/api.js";
import { ResourceList } from "./resource_list.js";

const PAGE = 40;
const MOST_OPEN = 200;
const MOST_HEARD = 400;
const EVENTS = ["alert.opened", "alert.updated", "alert.reopened", "alert.closed"];

export class Alerts extends ResourceList {
  #cursor = null;
  #mostKept = MOST_HEARD;

  constructor(feed) {
    super();
    feed.addEventListener("reset", () => this.reload(() => this.#read()));
    for (const type of EVENTS) {
      feed.addEventListener(type, (event) => {
        this.hear(event.detail);
        this.#forgetOldest();
      });
    }
  }

  /** Ids begin with the time at which they were made. */
  get newestFirst() {
    return [...this.items.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  get open() {
    return this.newestFirst.filter((alert) => alert.state === "open");
  }

  get hasOlder() {
    return this.#cursor !== null;
  }

  /** Anomalies of one camera: the spans that its curve is shaded at. */
  anomaliesOf(cameraId) {
    return this.newestFirst.filter((a) => a.camera_id === cameraId && a.kind === "anomaly");
  }

  /** What is open at a camera that sends frames, the newest first. */
  troublesOf(cameraId) {
    return this.open.filter((a) => a.camera_id === cameraId && a.kind !== "camera_offline");
  }

  /** Raises Problem. */
  async loadOlder() {
    const page = await get("/v1/alerts", { limit: PAGE, cursor: this.#cursor });
    this.#cursor = page.next_cursor;
    this.#mostKept += page.items.length;
    this.add(page.items);
  }

  /** What is let go can be loaded again: the pages then go on behind the alert before it. */
  #forgetOldest() {
    if (this.items.size <= this.#mostKept) return;
    const alerts = this.newestFirst;
    const oldest = alerts.findLastIndex((alert) => alert.state === "closed");
    if (oldest < 1) return;
    this.forget(alerts[oldest]);
    this.#cursor = alerts[oldest - 1].id;
  }

  async #read() {
    const newest = await get("/v1/alerts", { limit: PAGE });
    // What is still open concerns people now, however long ago it began.
    const open = await get("/v1/alerts", { limit: MOST_OPEN, state: "open" });
    this.#cursor = newest.next_cursor;
    return [...newest.items, ...open.items];
  }
}
