/** An address -> a picture in its frame, which holds its place while it loads, or if it cannot. */

import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";

/** alt: words. kind: a class, which gives the frame its shape. url null: there is no picture. */
export function picture(url, alt, kind) {
  if (url === null) return missing(alt, kind);
  const image = el("img", {
    src: url,
    alt,
    loading: "lazy",
    decoding: "async",
    draggable: "false",
  });
  const frame = el("span", { class: `picture ${kind}`, "data-picture": "loading" }, image);
  image.addEventListener("load", () => frame.setAttribute("data-picture", "shown"));
  image.addEventListener("error", () => frame.replaceWith(missing(alt, kind)));
  return frame;
}

/** A picture that is still being saved. */
export function pendingPicture(kind) {
  const words = el("span", { class: "hint" }, () => t("picture.pending"));
  return el("span", { class: `picture ${kind}`, "data-picture": "pending" }, words);
}

function missing(alt, kind) {
  return el(
    "span",
    { class: `picture ${kind}`, "data-picture": "missing", role: "img", "aria-label": alt },
    icon("no-picture"),
    el("span", { class: "hint" }, () => t("picture.missing")),
  );
}
