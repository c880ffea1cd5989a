// One quantity over time, as lines over an area, with axes and words. Arrow keys move through it as a pointer does.
import { el, svg } from "./dom.js";
import { clock } from "./format.js";

const GAP = 7000; // ms without a sample: the line is broken there
const TOP = 8, BOTTOM = 20, HEIGHT = 132;

// chart makes the host of a chart. data: {label, format(v), range (s), now (ms), series: [{name, class, points: [[ms, v]...]}]}.
export function chart(data) {
  return el("div", { class: "chart", own: (node) => set(node, data) });
}

const seen = new ResizeObserver((entries) => {
  for (const e of entries) draw(e.target);
});

function set(node, data) {
  node.data = data;
  if (!node.parts) {
    node.parts = {
      pic: svg("svg", { class: "pic", tabindex: 0, role: "slider" }),
      read: el("p", { class: "read", "aria-hidden": "true" }),
    };
    node.append(node.parts.pic, node.parts.read);
    node.parts.pic.addEventListener("pointermove", (e) => point(node, at(node, e.clientX)));
    node.parts.pic.addEventListener("pointerleave", () => point(node, null));
    node.parts.pic.addEventListener("blur", () => point(node, null));
    node.parts.pic.addEventListener("keydown", (e) => key(node, e));
    seen.observe(node);
  }
  draw(node);
}

// nice is the round number at or above v that makes even steps.
function nice(v) {
  if (!(v > 0)) return 1;
  const p = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 4, 5, 10].find((m) => m * p >= v * 0.9999) * p;
}

// thin leaves about one point a pixel: the highest of each, since a peak is what people look for. Where samples are missing it leaves
// null.
function thin(points, from, range, width) {
  const out = [];
  let last = -1, before = null;
  for (const p of points) {
    if (p[0] < from) continue;
    if (before && p[0] - before[0] > GAP) {
      out.push(null);
      last = -1;
    }
    before = p;
    const slot = Math.floor(((p[0] - from) / range) * width);
    if (slot !== last) out.push(p);
    else if (p[1] > out[out.length - 1][1]) out[out.length - 1] = p;
    last = slot;
  }
  return out;
}

function scale(node) {
  const { data } = node;
  const width = Math.max(node.clientWidth, 120);
  const range = data.range * 1000, from = data.now - range;
  const series = data.series.map((s) => {
    const thinned = thin(s.points, from, range, width);
    return { ...s, runs: runs(thinned), points: thinned.filter(Boolean) };
  });
  const top = nice(Math.max(...series.flatMap((s) => s.points.map((p) => p[1])), data.least ?? 0));
  const labels = [top, top / 2, 0].map((v) => data.format(v));
  const left = 10 + Math.max(...labels.map((l) => l.length)) * 6.4;
  return {
    width, range, from, series, top, labels, left,
    x: (ms) => left + ((ms - from) / range) * (width - left - 6),
    y: (v) => TOP + (1 - v / top) * (HEIGHT - TOP - BOTTOM),
  };
}

function draw(node) {
  if (!node.isConnected || node.clientWidth === 0 || !node.data) return;
  const { data } = node;
  const s = node.scale = scale(node);
  const { pic } = node.parts;
  const floor = s.y(0);
  const marks = [];
  s.labels.forEach((text, i) => {
    const y = s.y(s.top * (1 - i / 2));
    marks.push(svg("line", { class: i === 2 ? "axis" : "grid", x1: s.left, x2: s.width - 6, y1: y, y2: y }),
      svg("text", { class: "tick", x: s.left - 6, y: y + 3.5, "text-anchor": "end" }, text));
  });
  const step = data.range > 600 ? (s.width < 300 ? 600e3 : 300e3) : 60e3 * (s.width < 300 ? 2 : 1);
  const zone = new Date(data.now).getTimezoneOffset() * 60e3;
  for (let t = Math.ceil((s.from - zone) / step) * step + zone; t < data.now; t += step) {
    const x = s.x(t);
    if (x < s.left + 14 || x > s.width - 20) continue;
    marks.push(svg("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: floor }),
      svg("text", { class: "tick", x, y: HEIGHT - 5, "text-anchor": "middle" }, clock(new Date(t), false)));
  }
  for (const one of s.series) for (const run of one.runs) {
    const line = run.map((p) => `${s.x(p[0]).toFixed(1)},${s.y(p[1]).toFixed(1)}`).join(" ");
    if (one.area) marks.push(svg("polygon", { class: `area ${one.class}`, points: `${s.x(run[0][0]).toFixed(1)},${floor} ${line} ${s.x(run.at(-1)[0]).toFixed(1)},${floor}` }));
    marks.push(svg("polyline", { class: `line ${one.class}`, points: run.length > 1 ? line : `${line} ${line}` }));
  }
  if (s.series.every((one) => one.points.length === 0)) {
    marks.push(svg("text", { class: "tick", x: (s.left + s.width) / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no samples yet"));
  }
  pic.setAttribute("viewBox", `0 0 ${s.width} ${HEIGHT}`);
  pic.setAttribute("width", s.width);
  pic.setAttribute("height", HEIGHT);
  pic.setAttribute("aria-label", `${data.label}, the last ${data.range / 60} minutes. ${s.series.map((one) => words(data, one)).join(" ")} Arrow keys move through it.`);
  pic.setAttribute("aria-valuemin", 0);
  pic.setAttribute("aria-valuemax", data.range);
  pic.replaceChildren(...marks, svg("g", { class: "cursor" }));
  point(node, node.cursor ?? null);
}

// words tell a line to who does not see it.
function words(data, one) {
  if (one.points.length === 0) return `${one.name}: no samples yet.`;
  const high = one.points.reduce((a, b) => (b[1] > a[1] ? b : a));
  return `${one.name}: last ${data.format(one.points.at(-1)[1])}, highest ${data.format(high[1])} at ${clock(new Date(high[0]))}.`;
}

// runs are the pieces between which samples are missing.
function runs(points) {
  const out = [[]];
  for (const p of points) {
    if (p) out.at(-1).push(p);
    else out.push([]);
  }
  return out.filter((run) => run.length);
}

function at(node, clientX) {
  const s = node.scale;
  const box = node.parts.pic.getBoundingClientRect();
  return s.from + (((clientX - box.left) * s.width) / box.width - s.left) / (s.width - s.left - 6) * s.range;
}

// point reads the samples at a moment; null: the newest.
function point(node, ms) {
  const { data, scale: s } = node;
  if (!s) return;
  node.cursor = ms;
  const near = s.series.map((one) => {
    const p = ms === null ? one.points.at(-1) : one.points.reduce((a, b) => (a && Math.abs(a[0] - ms) <= Math.abs(b[0] - ms) ? a : b), null);
    return p && (ms === null || Math.abs(p[0] - ms) < Math.max(GAP, (3 * s.range) / s.width)) ? p : null;
  });
  const found = near.find((p) => p);
  const told = found ? `${ms === null ? "last" : clock(new Date(found[0]))}: ${s.series.map((one, i) => (near[i] ? `${s.series.length > 1 ? `${one.name} ` : ""}${data.format(near[i][1])}` : null)).filter(Boolean).join(", ")}` : "no sample then";
  const { pic, read } = node.parts;
  read.textContent = told;
  pic.setAttribute("aria-valuenow", Math.round(((found?.[0] ?? ms ?? data.now) - s.from) / 1000));
  pic.setAttribute("aria-valuetext", told);
  const cursor = pic.querySelector(".cursor");
  cursor.replaceChildren();
  if (ms === null || !found) return;
  const x = s.x(found[0]);
  cursor.append(svg("line", { x1: x, x2: x, y1: TOP, y2: s.y(0) }));
  near.forEach((p, i) => p && cursor.append(svg("circle", { class: s.series[i].class, cx: s.x(p[0]), cy: s.y(p[1]), r: 3.5 })));
}

function key(node, e) {
  const points = node.scale?.series.find((one) => one.points.length)?.points;
  if (!points) return;
  const step = e.shiftKey || e.key.startsWith("Page") ? 30 : 5;
  let i = node.cursor === null || node.cursor === undefined ? points.length - 1 : points.findIndex((p) => p[0] >= node.cursor);
  if (i < 0) i = points.length - 1;
  switch (e.key) {
    case "ArrowLeft": case "ArrowDown": case "PageDown": i -= step; break;
    case "ArrowRight": case "ArrowUp": case "PageUp": i += step; break;
    case "Home": i = 0; break;
    case "End": i = points.length - 1; break;
    case "Escape": point(node, null); return;
    default: return;
  }
  e.preventDefault();
  point(node, points[Math.min(Math.max(i, 0), points.length - 1)][0]);
}
