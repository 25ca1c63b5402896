/** A counter, read now and then -> its frames a second over the last half minute. */

const WINDOW_MS = 30_000;
const STILL_MS = 8_000;

/** Counters that grow by whole clips are measured from growth to growth, lest the rate waver. */
export class FrameRate {
  #growths = [];

  /** Frames a second after one more reading at `at` ms; null until there are enough. */
  learn(count, at) {
    const last = this.#growths.at(-1);
    if (last !== undefined && count < last.count) this.#growths = [];
    if (count !== this.#growths.at(-1)?.count) this.#growths.push({ count, at });
    while (this.#growths.length > 2 && this.#growths[0].at < at - WINDOW_MS) this.#growths.shift();
    return this.#rate(at);
  }

  #rate(at) {
    const first = this.#growths[0];
    const last = this.#growths.at(-1);
    if (at - last.at > WINDOW_MS) return 0;
    if (first === last) return null;
    const until = at - last.at > STILL_MS ? at : last.at;
    return ((last.count - first.count) * 1000) / (until - first.at);
  }
}
