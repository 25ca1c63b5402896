/** Scores over time -> a drawn curve: threshold, alerts and what was not scored. */

import uPlot from "../vendor/uplot/uPlot.esm.js";

import { el } from "../floor/element.js";
import { clockTime, score, t } from "../floor/language.js";
import { marks } from "./curve_marks.js";
import { palette } from "./palette.js";

/** 1 is what a normal frame exceeds once in a thousand times. */
const THRESHOLD = 1;

/** The scale shows the threshold always, and no score so high that all others lie flat. */
const LOWEST = -0.5;
const LEAST_TOP = 1.6;
const MOST_TOP = 8;

const darkness = matchMedia("(prefers-color-scheme: dark)");

/** view: {from, to, points, gaps, alerts, step}; times in ms, points [ms, score]. */
export class Curve {
  #plot = null;
  #view = null;
  #isDetailed;
  #readout = el("output", { class: "readout" });
  #canvas = el("div", { class: "canvas" });

  /** isDetailed: with axes, and a cursor that reads values out. */
  constructor({ isDetailed = false, signal }) {
    this.#isDetailed = isDetailed;
    this.element = el(
      "div",
      { class: "curve", role: "img" },
      this.#canvas,
      isDetailed ? this.#readout : null,
    );
    const sizes = new ResizeObserver(() => this.#fit());
    sizes.observe(this.#canvas);
    darkness.addEventListener("change", () => this.#rebuild(), { signal });
    signal.addEventListener("abort", () => {
      sizes.disconnect();
      this.#plot?.destroy();
    });
  }

  show(view) {
    this.#view = view;
    this.element.dataset.points = view.points.length;
    this.element.setAttribute("aria-label", summary(view));
    if (this.#plot === null) this.#rebuild();
    else this.#plot.setData(columns(view));
  }

  #rebuild() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (this.#view === null || width === 0 || height === 0) return;
    this.#plot?.destroy();
    this.#plot = new uPlot(
      { width, height, ...this.#options() },
      columns(this.#view),
      this.#canvas,
    );
  }

  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (this.#plot === null) this.#rebuild();
    else if (width > 0) this.#plot.setSize({ width, height });
  }

  #options() {
    const paints = palette(this.element);
    const drawn = marks(paints, THRESHOLD, () => this.#view);
    const line = (plot) => drawn.twoColoured(plot, "curve", "alarm");
    return {
      padding: this.#isDetailed ? [8, 28, 0, 0] : [2, 0, 2, 0],
      legend: { show: false },
      cursor: { show: this.#isDetailed, y: false, drag: { x: false, y: false } },
      scales: {
        x: { range: () => [this.#view.from / 1000, this.#view.to / 1000] },
        y: { range: (_, low, high) => [Math.min(LOWEST, low ?? 0), topOf(high)] },
      },
      axes: this.#isDetailed
        ? axes(paints, getComputedStyle(this.element).fontFamily)
        : [{ show: false }, { show: false }],
      series: [{}, { stroke: line, width: 1.5, points: { show: false } }],
      hooks: {
        drawClear: [drawn.spans],
        draw: [drawn.threshold],
        setCursor: this.#isDetailed ? [(plot) => this.#read(plot)] : [],
      },
    };
  }

  #read(plot) {
    const [seconds, scores] = plot.data;
    const value = plot.cursor.idx == null ? null : scores[plot.cursor.idx];
    this.#readout.textContent =
      value == null
        ? ""
        : t("curve.read", {
            time: clockTime(new Date(seconds[plot.cursor.idx] * 1000)),
            score: score(value),
          });
  }
}

function topOf(high) {
  return Math.min(Math.max(LEAST_TOP, (high ?? 0) * 1.1), MOST_TOP);
}

function axes(paints, font) {
  const shared = { stroke: paints.quiet, font: `11px ${font}` };
  const faint = { stroke: paints.line, width: 1 };
  const time = (_, splits, _axis, _space, stepS) =>
    splits.map((seconds) => clockTime(new Date(seconds * 1000), { hasSeconds: stepS < 60 }));
  const figure = (_, splits) => splits.map((value) => score(value));
  return [
    { ...shared, grid: { show: false }, ticks: faint, size: 28, space: 90, values: time },
    { ...shared, grid: faint, ticks: { show: false }, size: 46, space: 36, values: figure },
  ];
}

/** The points as columns, with a break wherever frames are missing. */
function columns({ points, step }) {
  const seconds = [];
  const scores = [];
  points.forEach(([at, value], n) => {
    if (n > 0 && at - points[n - 1][0] > 3 * step) {
      seconds.push((points[n - 1][0] + step) / 1000);
      scores.push(null);
    }
    seconds.push(at / 1000);
    scores.push(value);
  });
  return [seconds, scores];
}

function summary({ points }) {
  if (points.length === 0) return t("curve.none");
  const scores = points.map(([, value]) => value);
  return t("curve.summary", { newest: score(scores.at(-1)), highest: score(Math.max(...scores)) });
}
