/** /v1/cameras/{id}/timeline, asked for piece by piece -> a camera's curve up to now. */

import { get } from "../floor/api.js";

/** Clips are scored late, and not always in order: so much of the end is read again. */
const OVERLAP_MS = 20_000;

const BUCKET_MS = { frame: 1, "1s": 1_000, "10s": 10_000, "1m": 60_000, "10m": 600_000 };

/** points: [ms, score], in order. gaps: {from, to, outcome, reason} of what was not scored. */
export class Timeline {
  points = [];
  gaps = [];
  #path;
  #bucket;
  #from = Infinity;

  /** bucket: "frame", "1s", "10s", ...: what one point stands for. */
  constructor(cameraId, bucket) {
    this.#path = `/v1/cameras/${encodeURIComponent(cameraId)}/timeline`;
    this.#bucket = bucket;
  }

  /** The longest time between two neighbouring points, in ms. */
  get step() {
    return Math.max(BUCKET_MS[this.#bucket], 1_000);
  }

  /** Brings the curve of [from, to) up to date; times in ms. Raises Problem. */
  async read(from, to, signal) {
    const known = this.points.at(-1)?.[0] ?? 0;
    const since = this.#aligned(from < this.#from ? from : Math.max(from, known - OVERLAP_MS));
    const query = { start_time: iso(since), end_time: iso(to), bucket: this.#bucket };
    const answer = await get(this.#path, query, signal);
    const points = answer.points.map((point) => [Date.parse(point.time), point.score]);
    this.points = [...this.points.filter(([at]) => at >= from && at < since), ...points];
    const gaps = answer.unscored.map(spanOf);
    this.gaps = [...this.gaps.filter((gap) => gap.to >= from && gap.to < since), ...gaps];
    this.#from = Math.min(this.#from, from);
  }

  /** Half a bucket asked for would come back as a whole one. */
  #aligned(milliseconds) {
    const size = BUCKET_MS[this.#bucket];
    return Math.floor(milliseconds / size) * size;
  }
}

function spanOf(gap) {
  return {
    from: Date.parse(gap.start_time),
    to: Date.parse(gap.end_time),
    outcome: gap.outcome,
    reason: gap.reason,
  };
}

function iso(milliseconds) {
  return new Date(milliseconds).toISOString();
}
