/** A few options -> buttons side by side, one of them pressed. */

import { el } from "../floor/element.js";

/** label, options' values: words. options: {value: words}. chosen(value): hears each choice. */
export function choice(label, options, value, chosen) {
  const buttons = Object.entries(options).map(([option, words]) =>
    el(
      "button",
      {
        type: "button",
        value: option,
        "aria-pressed": String(option === value),
        onclick: () => press(option),
      },
      words,
    ),
  );
  function press(option) {
    for (const button of buttons) button.setAttribute("aria-pressed", button.value === option);
    chosen(option);
  }
  return el("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}
