/** An alert's evidence -> the frame with its regions, and the heat map beside it. */

import { svg, el } from "../floor/element.js";
import { t } from "../floor/language.js";
import { pendingPicture, picture } from "./picture.js";

/** The pair of pictures that tells most of an alert. */
export function evidencePair(alert) {
  const { state, heat_map: heatMap } = alert.evidence;
  if (state === "pending") {
    return el("div", { class: "pair" }, pendingPicture("frame"), pendingPicture("heat"));
  }
  return el(
    "div",
    { class: "pair" },
    frameOf(alert, tellingFrame(alert)),
    picture(heatMap, () => t("picture.heat"), "heat"),
  );
}

/** The newest frame, which is how the camera's view is now, and how it usually is. */
export function viewOf(alert) {
  const { state, frames, nearest_normal: normal } = alert.evidence;
  const shown = state === "pending" ? pendingPicture("frame") : frameOf(alert, frames.at(-1));
  const usual = normal ? picture(normal.image, () => t("picture.normal"), "normal") : null;
  return el("div", { class: "pair", "data-alone": true }, shown, usual);
}

/** One frame of an alert, outlined where it is abnormal; undefined: it has none. */
export function frameOf(alert, frame) {
  const framed = picture(frame?.image ?? null, () => t("picture.frame"), "frame");
  const image = framed.querySelector("img");
  const regions = image === null ? [] : regionsOf(alert, frame);
  if (regions.length > 0) {
    image.addEventListener("load", () => framed.append(outlines(image, regions)));
  }
  return framed;
}

/** Regions are known of two frames: that of the heat map, and the alert's peak. */
function regionsOf({ evidence, peak_time: peakTime, regions }, { captured_at: capturedAt }) {
  if (capturedAt === evidence.worst_at && evidence.regions.length > 0) return evidence.regions;
  return capturedAt === peakTime ? regions : [];
}

/** The frame that the heat map belongs to, else the one in the middle. */
export function tellingFrame({ evidence: { frames, worst_at: worstAt } }) {
  const worst = frames.find((frame) => frame.captured_at === worstAt);
  return worst ?? frames[Math.floor(frames.length / 2)];
}

/** Regions are pixels of the frame as it was pushed, and so is the picture. */
function outlines(image, regions) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const boxes = regions.map((r) =>
    svg("rect", { x: r.x, y: r.y, width: r.width, height: r.height }),
  );
  return svg(
    "svg",
    { class: "regions", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    boxes,
  );
}
