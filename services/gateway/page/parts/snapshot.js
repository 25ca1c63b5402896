/** A camera's newest frame, again and again -> one picture that changes without a flicker. */

import { picture } from "../floor/api.js";
import { el } from "../floor/element.js";
import { t } from "../floor/language.js";

export class Snapshot {
  #path;
  #image = el("img", { alt: () => t("picture.snapshot"), draggable: "false" });
  #hint = el("span", { class: "hint" }, () => t("picture.none_yet"));
  #address = null;
  #shown = null;

  constructor(cameraId, kind, signal) {
    this.#path = `/v1/cameras/${encodeURIComponent(cameraId)}/snapshot`;
    this.element = el("span", { class: `picture ${kind}`, "data-picture": "none" }, this.#hint);
    signal.addEventListener("abort", () => URL.revokeObjectURL(this.#address));
  }

  /** Shows the frame that arrived at `arrivedAt`, unless it is shown already. Raises Problem. */
  async refresh(arrivedAt, signal) {
    if (arrivedAt === null || arrivedAt === this.#shown) return;
    const address = URL.createObjectURL(await picture(this.#path, signal));
    // Decoded beside the old one, so that there is no moment without a picture.
    const next = new Image();
    next.src = address;
    await next.decode();
    this.#image.src = address;
    if (this.#shown === null) this.element.replaceChildren(this.#image);
    URL.revokeObjectURL(this.#address);
    this.#address = address;
    this.#shown = arrivedAt;
    this.element.dataset.picture = "shown";
  }
}
