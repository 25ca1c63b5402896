/** An element and how it is told -> told now, and again when the language or the time changes. */

const tellings = new WeakMap();

/** Runs `tell` now, and again at every `tellAgain` while the element is in the document. */
export function keepTold(element, tell) {
  const known = tellings.get(element);
  if (known) known.push(tell);
  else {
    tellings.set(element, [tell]);
    element.setAttribute("data-told", "");
  }
  tell();
}

/** All that is told within `root`; selector: or only such elements. */
export function tellAgain(root = document, selector = "[data-told]") {
  for (const element of root.querySelectorAll(selector)) {
    for (const tell of tellings.get(element) ?? []) tell();
  }
}
