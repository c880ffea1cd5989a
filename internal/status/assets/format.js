// Numbers, times and names as people read them.
import { el } from "./dom.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const number = (n) => whole.format(n ?? 0);

// short is a number in at most four digits: 12.3 k.
export function short(n, step = 1000, units = ["", " k", " M", " bn", " tn"]) {
  let i = 0;
  let v = Math.abs(n ?? 0);
  while (v >= step * 0.9995 && i < units.length - 1) {
    v /= step;
    i++;
  }
  const digits = v >= 99.95 || Number.isInteger(v) ? 0 : v >= 9.995 ? 1 : i === 0 && v < 1 ? 2 : 1;
  return `${n < 0 ? "−" : ""}${v.toFixed(digits)}${units[i]}`;
}

export const bytes = (n) => short(n, 1000, [" B", " kB", " MB", " GB", " TB", " PB"]);

// span is a length of time in its two largest units.
export function span(seconds) {
  const s = Math.max(seconds ?? 0, 0);
  if (s === 0) return "0 s";
  if (s < 0.95) return `${Math.max(s, 0.1).toFixed(1)} s`;
  if (s < 10) return `${Number(s.toFixed(1))} s`;
  const n = Math.round(s);
  if (n < 120) return `${n} s`;
  if (n < 3600) return both(Math.floor(n / 60), "min", n % 60, "s");
  if (n < 48 * 3600) return both(Math.floor(n / 3600), "h", Math.floor((n % 3600) / 60), "min");
  return both(Math.floor(n / 86400), "d", n < 30 * 86400 ? Math.floor((n % 86400) / 3600) : 0, "h");
}

const both = (a, large, b, little) => `${a} ${large}${b ? ` ${b} ${little}` : ""}`;

// moment reads a time of the API; null for Go's zero time and for none.
export function moment(text) {
  const at = text ? new Date(text) : null;
  return at && at.getUTCFullYear() > 1970 ? at : null;
}

const two = (n) => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const clock = (at, seconds = true) => `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;

export function day(at, now = new Date()) {
  return `${at.getDate()} ${MONTHS[at.getMonth()]}${at.getFullYear() === now.getFullYear() ? "" : ` ${at.getFullYear()}`}`;
}

export const utc = (at) => `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;

// when is a time of day here, with the day where it is another one than now's, and UTC on pointing at it.
export function when(at, now = new Date()) {
  if (!at) return "never";
  const same = at.toDateString() === now.toDateString();
  return el("time", { datetime: at.toISOString(), title: utc(at) }, same ? clock(at) : `${day(at, now)}, ${clock(at, Math.abs(now - at) < 864e5)}`);
}

export const since = (at, now) => (at ? [when(at, now), ` (${span((now - at) / 1000)})`] : "");
export const ago = (at, now) => (at ? `${span((now - at) / 1000)} ago` : "never");

// Characters that would hide what a name is, or turn the text around it.
const SLY = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]/g;

export function plain(text, most = 400) {
  const seen = String(text ?? "").replace(SLY, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
  return seen.length > most ? `${seen.slice(0, most)}…` : seen;
}

// name is text from outside.
export const name = (text) => el("bdi", { class: "name" }, plain(text));

export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
