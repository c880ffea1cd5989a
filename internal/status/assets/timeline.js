// The times for which topics can be restored, as bars over one axis.
import { el, svg, table } from "./dom.js";
import { clock, day, moment, name, plain, plural, utc, when } from "./format.js";

const ROW = 18;
const FEW = 12; // topics before the reader asks for more

// timeline draws what an archive can restore: a row a topic, and a line through all for each point with a name.
export function timeline(held, now, open, more) {
  const topics = held.topics ?? [];
  const shown = open ? topics : topics.slice(0, FEW);
  const points = (held.points ?? []).map((p) => ({ name: p.name, at: moment(p.at) })).filter((p) => p.at).sort((a, b) => a.at - b.at);
  const starts = [...topics.map((t) => moment(t.from)), ...points.map((p) => p.at)].filter(Boolean);
  if (starts.length === 0) return el("p", { class: "note" }, "No topic can be restored yet: nothing has become durable.");
  const from = Math.min(...starts), to = Math.max(now, from + 1000);
  const rows = shown.map((t) => row(t, from, to, points, now));
  return el("div", { class: "timeline" },
    el("div", { class: "lines" }, rows, axis(from, to)),
    points.length ? el("div", { class: "points" }, el("span", { class: "note" }, "Named points: "), points.slice(-20).map((p) => el("span", { class: "point" },
      svg("svg", { class: "flag", viewBox: "0 0 8 12", "aria-hidden": "true" }, svg("path", { d: "M1 0v12M1 1h6l-2 2 2 2H1" })), name(p.name), " ", when(p.at, new Date(now))))) : null,
    topics.length > FEW ? el("button", { type: "button", class: "quiet", "aria-expanded": String(open), onclick: more }, open ? "Show fewer" : `Show all ${plural(topics.length, "topic")}`) : null,
    el("details", {}, el("summary", {}, "The same as a table"), table("What can be restored", [
      { name: "Topic", cell: (t) => name(t.topic) },
      { name: "From", cell: (t) => when(moment(t.from), new Date(now)) },
      { name: "To", cell: (t) => [when(moment(t.to), new Date(now)), t.deleted ? " (deleted on the source then)" : ""] },
      { name: "Holes", class: "num", cell: (t) => String(t.holes ?? 0) },
    ], shown)));
}

function row(t, from, to, points, now) {
  const a = moment(t.from), b = moment(t.to);
  const x = (ms) => ((ms - from) / (to - from)) * 1000;
  const told = a && b ? `${plain(t.topic)}: from ${utc(a)} to ${utc(b)}${t.deleted ? ", when it was deleted on the source" : ""}${t.holes ? `, with ${plural(t.holes, "hole")}` : ""}` : `${plain(t.topic)}: nothing yet`;
  return el("div", { class: "line-row" },
    el("div", { class: "line-name" }, name(t.topic),
      t.deleted ? el("span", { class: "tag" }, "deleted ", when(b, new Date(now))) : null,
      t.holes ? el("span", { class: "tag warn" }, plural(t.holes, "hole")) : null),
    svg("svg", { class: "bar", viewBox: `0 0 1000 ${ROW}`, preserveAspectRatio: "none", role: "img", "aria-label": told },
      svg("rect", { class: "rail", x: 0, y: 7, width: 1000, height: 4 }),
      a && b ? svg("rect", { class: `held ${t.deleted ? "gone" : ""} ${t.holes ? "holed" : ""}`, x: x(a), y: 3, width: Math.max(x(b) - x(a), 4), height: ROW - 6 }) : null,
      points.map((p) => svg("line", { class: "mark", x1: x(p.at), x2: x(p.at), y1: 0, y2: ROW }))));
}

// axis has its ends, and what fits between.
function axis(from, to) {
  const long = to - from > 36 * 3600e3;
  const label = (ms) => (long ? day(new Date(ms)) : clock(new Date(ms), to - from < 600e3));
  return el("div", { class: "line-row axis-row", "aria-hidden": "true" }, el("div", { class: "line-name" }),
    el("div", { class: "ends" }, [0, 1 / 3, 2 / 3].map((f) => el("span", {}, label(from + f * (to - from)))), el("span", {}, "now")));
}
