/** A timeline, a span of time and a camera's alerts -> what a curve shows. */

/** from, to: ms. Alerts that are still open reach to the end. */
export function curveView(timeline, from, to, alerts) {
  const spans = alerts.map((alert) => ({
    from: Date.parse(alert.start_time),
    to: alert.end_time === null ? to : Date.parse(alert.end_time),
    severity: alert.severity,
  }));
  return {
    from,
    to,
    points: timeline.points,
    gaps: timeline.gaps,
    step: timeline.step,
    alerts: spans.filter((span) => span.to >= from && span.from <= to),
  };
}
