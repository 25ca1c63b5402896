/** The address behind `#` <-> what is open above the panels: `#/alerts/01J...`. */

/** {noun, id} of the open address, or null. */
export function opened() {
  const found = /^#\/(\w+)\/(.+)$/.exec(location.hash);
  return found ? { noun: found[1], id: decodeURIComponent(found[2]) } : null;
}

export function addressOf(noun, id) {
  return `#/${noun}/${encodeURIComponent(id)}`;
}

/** Goes back to the panels; the browser's "back" opens again what was open. */
export function leave() {
  if (opened()) location.hash = "#/";
}
