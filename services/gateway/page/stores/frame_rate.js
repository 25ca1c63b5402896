/** A counter, read now and then -> its frames a second over the last while. */

const WINDOW_MS = 45_000;
const STILL_MS = 8_000;

/**
 * Measured from growth to growth: a counter that grows by whole clips would else make the rate
 * waver. leastMs: for how long it must have grown before it says anything; a counter that has not
 * grown at all for a while says 0.
 */
export class FrameRate {
  #growths = [];
  #count = null;
  #since = null;
  #leastMs;

  constructor(leastMs) {
    this.#leastMs = leastMs;
  }

  /** Frames a second now, by a count that was reached at `at`; in ms. Null: not known yet. */
  learn(count, at, now) {
    this.#since ??= now;
    if (this.#count !== null && count < this.#count) this.#growths = [];
    // When the first count was reached nobody has seen.
    if (this.#count !== null && count > this.#count) this.#growths.push({ count, at });
    this.#count = count;
    while (this.#growths.length > 2 && this.#growths[0].at < now - WINDOW_MS) this.#growths.shift();
    if (this.#growths.length) return this.#rate(now);
    return now - this.#since > WINDOW_MS ? 0 : null;
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
