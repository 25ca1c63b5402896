/** A counter, read now and then -> its frames a second over the last while. */

const WINDOW_MS = 45_000;
const STILL_MS = 8_000;

/** Counters that grow by whole clips are measured from growth to growth, lest the rate waver. */
export class FrameRate {
  #growths = [];
  #leastMs;

  /** leastMs: for how long a count must be watched before it says anything. */
  constructor(leastMs) {
    this.#leastMs = leastMs;
  }

  /** Frames a second now, by a count that was reached at `at`; in ms. Null: not known yet. */
  learn(count, at, now) {
    const last = this.#growths.at(-1);
    if (last !== undefined && count < last.count) this.#growths = [];
    if (count !== this.#growths.at(-1)?.count) this.#growths.push({ count, at });
    while (this.#growths.length > 2 && this.#growths[0].at < now - WINDOW_MS) this.#growths.shift();
    return this.#rate(now);
  }

  #rate(now) {
    const first = this.#growths[0];
    const last = this.#growths.at(-1);
    if (now - last.at > WINDOW_MS) return 0;
    const until = now - last.at > STILL_MS ? now : last.at;
    if (until - first.at < this.#leastMs) return null;
    return ((last.count - first.count) * 1000) / (until - first.at);
  }
}
