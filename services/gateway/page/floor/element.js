/** tag, attributes, children -> a DOM element. Strings become text, never markup. */

import { keepTold } from "./telling.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * attributes: `on...` are listeners; true sets, false and null leave out; a function gives words,
 * asked again when the language changes. children: nodes, strings, functions (words), arrays; null
 * is left out.
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** An icon of icons.svg; it says nothing to a screen reader, the words beside it do. */
export function icon(name) {
  const use = svg("use", { href: `/page/icons.svg#${name}` });
  return svg("svg", { class: "icon", "aria-hidden": "true" }, use);
}

/** Shares from 0 to 1 as custom properties: the style sheet places by them. */
export function placed(element, shares) {
  for (const [name, share] of Object.entries(shares)) {
    element.style.setProperty(`--${name}`, String(share));
  }
  return element;
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) attach(element, name, value);
  const present = children.flat(Infinity).filter((child) => child != null);
  if (present.length === 1 && typeof present[0] === "function") {
    const words = present[0];
    keepTold(element, () => {
      element.textContent = words();
    });
  } else {
    element.append(...present.map(asNode));
  }
  return element;
}

function asNode(child) {
  return typeof child === "function" ? el("span", {}, child) : child;
}

function attach(element, name, value) {
  if (value == null || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (typeof value === "function") {
    keepTold(element, () => element.setAttribute(name, value()));
  } else element.setAttribute(name, value === true ? "" : value);
}
