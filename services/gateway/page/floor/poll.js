/** Work and a period -> the work done again and again while somebody can see it. */

/**
 * Does `work(signal)` now and `periodMs` after each end, until `signal` aborts; waits while the
 * page is hidden or `isSeen()` is false. `failed(error)`: hears what went wrong; it goes on.
 */
export async function poll(work, periodMs, { signal, isSeen = () => true, failed = () => {} }) {
  while (!signal.aborted) {
    if (!document.hidden && isSeen()) await attempt(work, signal, failed);
    await pause(periodMs, signal);
  }
}

async function attempt(work, signal, failed) {
  try {
    await work(signal);
  } catch (error) {
    if (!signal.aborted) failed(error);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
