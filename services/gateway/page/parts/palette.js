/** The style sheet's colours -> what a canvas can paint with. */

const NAMES = ["curve", "alarm", "threshold", "quiet", "line", "low", "medium", "high", "critical"];

/** {name: colour}, as they are for this element now: light or dark. */
export function palette(element) {
  // A custom property is words; only a property that is a colour resolves them.
  const before = element.style.color;
  const paints = NAMES.map((name) => {
    element.style.color = `var(--${name})`;
    return [name, getComputedStyle(element).color];
  });
  element.style.color = before;
  return Object.fromEntries(paints);
}
