// How each flow gets on: figures, charts, states and the processes that share it.
import { chart } from "./chart.js";
import { el, empty, figure, icon, pill, svg, table } from "./dom.js";
import { bytes, name, number, plain, plural, short, span } from "./format.js";

// The states of a partition as internal/replicate names them, in its order: how they look, and what they mean.
export const STATES = {
  "catching up": { tone: "info", shape: "up", means: "records flow; the end of the source has not been reached" },
  live: { tone: "ok", shape: "dot", means: "what the source gets is on its way at once" },
  throttled: { tone: "info", shape: "pause", means: "waits for what throttles allow" },
  stalled: { tone: "warn", shape: "half", means: "an outage or a missing right: tried again, goes on by itself" },
  quarantined: { tone: "bad", shape: "warn", means: "the target refuses a record: tried again" },
  halted: { tone: "bad", shape: "stop", means: "a person has to decide" },
};

export const CLASSES = {
  exact: { tone: "ok", shape: "dot", means: "goes on at the very record" },
  clamped: { tone: "info", shape: "half", means: "goes on a little earlier" },
  ahead: { tone: "warn", shape: "up", means: "has read what is not on the target yet" },
  unknown: { tone: "bad", shape: "warn", means: "where it would go on is not known" },
};

const count = (f) => Object.values(f.partitions).reduce((a, b) => a + b, 0);

function state(f) {
  if (!f.started) return pill("warn", "wait", "has not started");
  if (f.standing_still_total) return pill("bad", "bad", `${plural(f.standing_still_total, "partition")} stand${f.standing_still_total === 1 ? "s" : ""} still`);
  const all = count(f);
  if (!all) return pill("info", "dot", "nothing to replicate yet");
  if (f.partitions.live === all) return pill("ok", "ok", "live");
  const [first] = Object.entries(f.partitions).filter(([s, n]) => n && s !== "live").sort((a, b) => b[1] - a[1]);
  return pill(STATES[first?.[0]]?.tone ?? "info", STATES[first?.[0]]?.shape, `${first?.[0]} ${number(first?.[1])} of ${number(all)}`);
}

// rates makes records a second of cumulative counts: over ten seconds, since single samples jump.
export function rates(list, field) {
  const out = [];
  for (let i = 1, j = 0; i < list.length; i++) {
    while (j < i - 1 && list[i].ms - list[j].ms > 10e3) j++;
    const dt = (list[i].ms - list[j].ms) / 1000, n = list[i][field] - list[j][field];
    if (dt <= 0 || dt > 30 || n < 0) {
      j = i; // the process has started anew, or was held up
      continue;
    }
    out.push([list[i].ms, n / dt]);
  }
  return out;
}

export function flows(report, now, samples, range, opened) {
  if (report.flows.length === 0) return [empty("No flow is enabled: the file has no ", el("code", {}, "A->B.enabled = true"), ".")];
  return report.flows.map((f, i) => flow(f, i, now, samples(f.name), range, opened));
}

function flow(f, i, now, list, range, opened) {
  const per = rates(list, "records"), size = rates(list, "bytes");
  const rate = per.at(-1)?.[1] ?? 0, flowing = size.at(-1)?.[1] ?? 0;
  const series = (field) => list.map((s) => [s.ms, s[field]]);
  const common = { range, now: now.getTime() };
  const late = f.rpo_seconds > 60 ? "warn" : "";
  const open = opened(f.name, i);
  return el("article", { class: "card flow", key: f.name, "aria-label": `Flow ${plain(f.name)}` },
    el("header", {}, el("h3", {}, name(f.source), icon("arrow", "to"), el("span", { class: "unseen" }, " to "), name(f.target)), state(f),
      f.heartbeat_age_seconds !== undefined ? el("span", { class: "note" }, `heartbeat ${span(f.heartbeat_age_seconds)} ago`) : null),
    el("dl", { class: "figures" },
      figure("Lag", [short(f.lag_records), el("small", {}, " records")], f.lag_seconds ? `the oldest waits for ${span(f.lag_seconds)}` : "nothing waits"),
      figure("Would be lost now", [short(f.rpo_records), el("small", {}, " records")], f.rpo_seconds ? `what came in the last ${span(f.rpo_seconds)}` : "nothing that is known of", late),
      figure("Rate", [short(rate), el("small", {}, " records/s")], `${bytes(flowing)}/s`),
      figure("Copied", [short(f.records), el("small", {}, " records")], `${bytes(f.bytes)} since the start`)),
    el("details", { class: "charts", open, "data-flow": f.name }, el("summary", {}, "Over time"), el("div", { class: "chart-row" },
      plot("Lag, records", chart({ ...common, label: "Lag in records", format: (v) => short(v), least: 10, series: [{ name: "lag", class: "one", area: true, points: series("lag_records") }] })),
      plot("Behind, time", chart({ ...common, label: "Time behind", format: span, least: 2, series: [
        { name: "would be lost", class: "two", points: series("rpo_seconds") }, { name: "oldest waits", class: "one", area: true, points: series("lag_seconds") }] }),
      el("span", { class: "key two" }, "would be lost"), el("span", { class: "key one" }, "oldest waits")),
      plot("Rate, records/s", chart({ ...common, label: "Records a second", format: (v) => short(v), least: 10, series: [{ name: "rate", class: "one", area: true, points: per }] })))),
    shares("Partitions by state", f.partitions, STATES),
    standing(f),
    members(f));
}

function plot(title, drawn, ...keys) {
  return el("figure", {}, el("figcaption", {}, el("span", {}, title), keys), drawn);
}

// shares is a bar in proportion, with a legend that says the same in words.
export function shares(label, counts, kinds) {
  const order = [...Object.keys(kinds), ...Object.keys(counts).filter((k) => !(k in kinds))];
  const there = order.filter((k) => counts[k] > 0);
  const all = there.reduce((n, k) => n + counts[k], 0);
  if (!all) return null;
  let x = 0;
  const part = (k) => {
    const width = Math.max((counts[k] / all) * 1000, 6); // one of ten thousand is seen too
    const r = svg("rect", { class: `share ${kinds[k]?.tone ?? "info"} ${k === "catching up" || k === "throttled" ? "soft" : ""}`, x, y: 0, width, height: 10 });
    x += width + 3;
    return r;
  };
  const parts = there.map(part);
  return el("div", { class: "shares" },
    svg("svg", { class: "stack", viewBox: `0 0 ${Math.max(x - 3, 1)} 10`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}: ${there.map((k) => `${k} ${number(counts[k])}`).join(", ")}` }, parts),
    el("ul", { class: "legend", "aria-label": label }, there.map((k) => el("li", { title: kinds[k]?.means }, icon(kinds[k]?.shape, kinds[k]?.tone), el("span", {}, plain(k), " ", el("b", {}, number(counts[k])))))));
}

// standing gathers the partitions that stand still by why they do.
function standing(f) {
  if (!f.standing_still_total) return null;
  const by = new Map();
  for (const p of f.standing_still) {
    const why = `${p.state}|${p.reason ?? ""}`;
    by.set(why, [...(by.get(why) ?? []), p]);
  }
  return el("div", { class: "standing" }, el("h4", {}, "Standing still"),
    el("ul", {}, [...by].slice(0, 8).map(([why, list]) => el("li", { key: why }, icon(STATES[list[0].state]?.shape, STATES[list[0].state]?.tone), el("div", {},
      el("b", {}, list.slice(0, 3).map((p, i) => [i ? ", " : "", name(p.source)]), list.length > 3 ? ` and ${number(list.length - 3)} more` : ""),
      ` ${plain(list[0].state)}`, list[0].reason ? [": ", name(list[0].reason)] : null)))),
    by.size > 8 || f.standing_still.length < f.standing_still_total ? el("p", { class: "note" }, "and others: see Partitions, state “standing still”") : null);
}

function members(f) {
  if (f.members.length === 0) return null;
  const differ = f.members.some((m) => !m.same_settings);
  return el("details", { class: "members", open: differ }, el("summary", {}, f.members.length === 1 ? "One process runs this flow" : `${f.members.length} processes share this flow`, differ ? el("span", { class: "tag warn" }, "settings differ") : null),
    table(`Processes of ${plain(f.name)}`, [
      { name: "Instance", cell: (m) => [name(m.instance), m.self ? el("span", { class: "tag" }, "this one") : null] },
      { name: "Host", cell: (m) => name(m.host) },
      { name: "Partitions", class: "num", cell: (m) => number(m.partitions) },
      { name: "Duties", cell: (m) => (m.duties ? "topics, groups, heartbeats" : "none") },
      { name: "Settings", cell: (m) => (m.same_settings ? "the same" : [icon("warn", "warn"), " other than here"]) },
    ], f.members, (m) => m.instance));
}
