/** An alert's evidence -> four pictures side by side, each of which can be enlarged. */

import { el } from "../floor/element.js";
import { percent, t } from "../floor/language.js";
import { frameOf, tellingFrame } from "./evidence.js";
import { timeOf } from "./moment.js";
import { pendingPicture, picture } from "./picture.js";

/** What was seen, what is normal and most like it, what the model drew, and where these differ. */
export function explanation(alert) {
  const { state, heat_map: heatMap, reconstruction, nearest_normal: normal } = alert.evidence;
  if (state === "pending") {
    const views = ["frame", "normal", "reconstruction", "heat"];
    return el("div", { class: "views" }, views.map((name) => view(name, pendingPicture(name))));
  }
  const shown = (url, name) => picture(url, () => t(`picture.${name}`), name);
  return el(
    "div",
    { class: "views" },
    view("frame", frameOf(alert, tellingFrame(alert))),
    view("normal", shown(normal?.image ?? null, "normal"), normal && told(normal)),
    view("reconstruction", shown(reconstruction, "reconstruction")),
    view("heat", shown(heatMap, "heat")),
  );
}

/** name: of the picture's words, `picture.NAME`. */
function view(name, shown, more = null) {
  const enlarge = () => {
    const isLarge = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isLarge));
    button.scrollIntoView({ block: "nearest" });
  };
  const button = el(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      "aria-label": () => t("picture.enlarge", { name: t(`picture.${name}`) }),
      onclick: enlarge,
    },
    shown,
  );
  const caption = el("span", {}, () => t(`picture.${name}`));
  return el("figure", { "data-view": name }, button, el("figcaption", {}, caption, more));
}

function told({ captured_at: capturedAt, difference }) {
  const unlike = el("span", {}, () => t("picture.unlike", { share: percent(difference) }));
  return el("span", { class: "hint" }, timeOf(capturedAt), " ", unlike);
}
