/** A curve's threshold, alerts and gaps -> strokes on its canvas. */

const HATCH = 6;

/** paints: the palette. view(): what the curve shows now. */
export function marks(paints, threshold, view) {
  return {
    /** Alerts as bands, what was not scored as hatching; drawn before the curve. */
    spans: (plot) =>
      within(plot, () => {
        for (const alert of view().alerts) shade(plot, alert, paints[alert.severity]);
        for (const gap of view().gaps) hatch(plot, gap, paints.quiet);
      }),

    threshold: (plot) =>
      within(plot, () => {
        const { ctx, bbox } = plot;
        const y = Math.round(plot.valToPos(threshold, "y", true)) + 0.5;
        ctx.strokeStyle = paints.threshold;
        ctx.lineWidth = devicePixelRatio;
        ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
        line(ctx, bbox.left, y, bbox.left + bbox.width, y);
      }),

    /** A paint that changes at the threshold. */
    twoColoured: (plot, below, above) => {
      const { top, height } = plot.bbox;
      const share = (plot.valToPos(threshold, "y", true) - top) / height;
      const at = Number.isFinite(share) ? Math.min(Math.max(share, 0), 1) : 0;
      const paint = plot.ctx.createLinearGradient(0, top, 0, top + height);
      paint.addColorStop(0, paints[above]);
      paint.addColorStop(at, paints[above]);
      paint.addColorStop(at, paints[below]);
      paint.addColorStop(1, paints[below]);
      return paint;
    },
  };
}

function within(plot, draw) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw();
  ctx.restore();
}

function shade(plot, alert, paint) {
  const { left, width } = extent(plot, alert);
  const { ctx, bbox } = plot;
  ctx.fillStyle = paint;
  ctx.globalAlpha = 0.2;
  ctx.fillRect(left, bbox.top, width, bbox.height);
  ctx.globalAlpha = 1;
  ctx.fillRect(left, bbox.top, width, 2 * devicePixelRatio);
}

function hatch(plot, gap, paint) {
  const { left, width } = extent(plot, gap);
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, bbox.top, width, bbox.height);
  ctx.clip();
  ctx.strokeStyle = paint;
  ctx.globalAlpha = 0.45;
  ctx.lineWidth = devicePixelRatio;
  const step = HATCH * devicePixelRatio;
  for (let x = left - bbox.height; x < left + width; x += step) {
    line(ctx, x, bbox.top + bbox.height, x + bbox.height, bbox.top);
  }
  ctx.restore();
}

/** Where a span of time lies; never so narrow that it could not be seen. */
function extent(plot, { from, to }) {
  const left = plot.valToPos(from / 1000, "x", true);
  const right = plot.valToPos(to / 1000, "x", true);
  return { left, width: Math.max(right - left, 2 * devicePixelRatio) };
}

function line(ctx, x1, y1, x2, y2) {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}
