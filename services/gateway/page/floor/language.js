/** Keys and values -> words, dates and numbers in the reader's language. */

import { get } from "./api.js";
import { tellAgain } from "./telling.js";

export const LANGUAGES = { en: "English", zh: "中文" };

const KEPT = "citybrain.language";
const LOCALES = { en: "en-GB", zh: "zh-CN" };

/** Without a locale of its own the system makes some browsers speak "en-US@posix". */
const WELL_FORMED = /^[a-z]{2,3}(-[a-z]{4})?(-([a-z]{2}|\d{3}))?$/i;

let words = {};
let current = "en";
let locale = LOCALES.en;
let formats = new Map();

/** The language that was chosen before, else the browser's. */
export function preferred() {
  const kept = localStorage.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** Loads a dictionary and tells the page in it. Raises Problem. */
export async function speak(language) {
  words = await get(`/page/words/${language}.json`);
  current = language;
  locale = localeOf(language);
  formats = new Map();
  document.documentElement.lang = LOCALES[language];
  document.title = t("page.title");
  tellAgain();
}

/** As `speak`, and the choice is kept. */
export function choose(language) {
  localStorage.setItem(KEPT, language);
  return speak(language);
}

export function spoken() {
  return current;
}

export function knows(key) {
  return key in words;
}

/**
 * The words of a key. values: fill `{name}`; numbers are written as the language does. An entry
 * with `one` and `other` is chosen by `values.count`.
 */
export function t(key, values = {}) {
  const entry = words[key] ?? key;
  const phrase = typeof entry === "string" ? entry : entry[plural(values.count)];
  return phrase.replace(/\{(\w+)\}/g, (_, name) => written(values[name]));
}

export function number(value, options = {}) {
  return format("NumberFormat", options).format(value);
}

export function percent(share) {
  return number(share, { style: "percent" });
}

export function score(value) {
  return number(value, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** The time of day; with the date where it is not today's. */
export function clockTime(date, { hasSeconds = true } = {}) {
  const isToday = date.toDateString() === new Date().toDateString();
  const options = isToday
    ? { timeStyle: hasSeconds ? "medium" : "short" }
    : { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  if (!isToday && hasSeconds) options.second = "2-digit";
  return format("DateTimeFormat", options).format(date);
}

/** Date, time and zone in full. */
export function fullTime(date) {
  return format("DateTimeFormat", { dateStyle: "full", timeStyle: "long" }).format(date);
}

/** "12 seconds ago", or so many minutes, hours, days; what is ahead of our clock is now. */
export function ago(date, now) {
  const seconds = Math.min((date.getTime() - now) / 1000, 0);
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  const relative = format("RelativeTimeFormat", { numeric: "auto", style: "short" });
  return relative.format(Math.round(seconds / length), unit);
}

/** A length of time such as "1 min 20 sec". */
export function lasting(milliseconds) {
  const seconds = Math.max(Math.round(milliseconds / 1000), 0);
  const parts = [
    [Math.floor(seconds / 3600), "hour"],
    [Math.floor(seconds / 60) % 60, "minute"],
    [seconds % 60, "second"],
  ];
  const told = parts.filter(([count]) => count > 0);
  return (told.length ? told : [[0, "second"]])
    .map(([count, unit]) => number(count, { style: "unit", unit, unitDisplay: "short" }))
    .join(" ");
}

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/**
 * How the reader's own country writes times, where it speaks this language in the same script: a
 * reader in Taipei gets our simplified words, and no traditional ones between them.
 */
function localeOf(language) {
  const script = (tag) => new Intl.Locale(tag).maximize().script;
  const own = navigator.languages.find(
    (tag) =>
      WELL_FORMED.test(tag) &&
      new Intl.Locale(tag).language === language &&
      script(tag) === script(LOCALES[language]),
  );
  return own ?? LOCALES[language];
}

function written(value) {
  return typeof value === "number" ? number(value) : String(value ?? "");
}

function plural(count) {
  return format("PluralRules", {}).select(count ?? 0) === "one" ? "one" : "other";
}

function format(kind, options) {
  const key = kind + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl[kind](locale, options));
  return formats.get(key);
}
