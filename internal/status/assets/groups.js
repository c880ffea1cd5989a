// Where consumer groups would go on at the target.
import { el, empty, pill, table } from "./dom.js";
import { CLASSES, shares } from "./flows.js";
import { name, number, plain, plural, span } from "./format.js";

const FEW = 10;
const opened = new Set(); // flows whose groups the reader wants to see all of

export function groups(report, again) {
  const known = report.flows.filter((f) => f.groups);
  if (known.length === 0) {
    return [empty(report.flows.length ? "No consumer groups have been looked at yet. The process that looks after a flow does so; another one shows nothing here, nor does one with " : "No flow is enabled. Groups are shown of flows without ",
      el("code", {}, "emit.checkpoints.enabled = false"), ".")];
  }
  return known.map((f) => card(f, again));
}

function card(f, again) {
  const g = f.groups;
  const listed = (g.listed ?? []);
  const worse = listed.filter((x) => Object.keys(x.classes ?? {}).some((c) => c !== "exact" && x.classes[c] > 0));
  const all = opened.has(f.name);
  const shown = all ? listed : (worse.length ? worse : listed).slice(0, FEW);
  const more = listed.length > shown.length || all;
  return el("article", { class: "card", key: f.name },
    el("header", {}, el("h3", {}, name(f.name)), worst(g),
      el("span", { class: "note" }, `${plural(g.groups, "group")}`, g.age_seconds !== null && g.age_seconds !== undefined ? `, looked at ${span(g.age_seconds)} ago` : ", not looked at yet")),
    shares("Positions by class", g.positions ?? {}, CLASSES),
    shown.length ? table(`Groups of ${plain(f.name)}`, [
      { name: "Group", class: "main", cell: (x) => name(x.name) },
      { name: "Positions", cell: (x) => classes(x) },
      { name: "Note", class: "wide", cell: (x) => name(x.note) },
    ], shown, (x) => x.name) : el("p", { class: "note" }, g.groups ? "Every position is exact." : "No group of the source has committed positions in what is replicated."),
    more ? el("button", { type: "button", class: "quiet", "aria-expanded": String(all), onclick: () => { all ? opened.delete(f.name) : opened.add(f.name); again(); } }, all ? "Show fewer" : `Show all ${number(listed.length)} listed`) : null);
}

function worst(g) {
  const n = (c) => g.positions?.[c] ?? 0;
  if (n("unknown")) return pill("bad", "warn", `${plural(n("unknown"), "position")} unknown`);
  if (n("ahead")) return pill("warn", "up", `${plural(n("ahead"), "position")} ahead`);
  if (n("clamped")) return pill("info", "half", `${plural(n("clamped"), "position")} a little early`);
  return pill("ok", "ok", "all exact");
}

function classes(x) {
  return Object.entries(x.classes ?? {}).filter(([, n]) => n > 0).map(([c, n]) => [el("span", { class: `class ${CLASSES[c]?.tone ?? ""}` }, `${plain(c)} ${number(n)}`), " "]);
}
