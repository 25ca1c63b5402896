/** A name, tools and a body -> one panel of the page. */

import { el } from "../floor/element.js";
import { t } from "../floor/language.js";

/** name: of its words `panel.NAME`, and what the tabs of a narrow screen call it. */
export function panel(name, tools, body) {
  const heading = `panel-${name}`;
  return el(
    "section",
    { class: "panel", "data-panel": name, "aria-labelledby": heading },
    el(
      "header",
      {},
      el("h2", { id: heading }, () => t(`panel.${name}`)),
      ...tools,
    ),
    body,
  );
}
