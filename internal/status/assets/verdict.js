// The one line at the top, and what is wrong, the worst first.
import { el, icon } from "./dom.js";
import { clock, moment, name, plain, plural, since, span, when } from "./format.js";

// judge is the state of everything in a tone, a shape and a line.
export function judge(report) {
  const bad = report.problems.filter((p) => p.severity === "critical").length;
  const look = report.problems.length - bad;
  if (bad) return { tone: "bad", shape: "bad", line: `${plural(bad, "thing is", "things are")} wrong${look ? `, and ${number1(look)} asks for a look` : ""}`.replace("s asks", "s ask") };
  if (!report.ready) return { tone: "warn", shape: "wait", line: report.waiting_for ? `Not ready: ${plain(report.waiting_for)}` : "Not ready: a partition stands still" };
  if (look) return { tone: "warn", shape: "warn", line: `It runs, and ${number1(look)} asks for a look`.replace("s asks", "s ask") };
  if (report.flows.length === 0) return { tone: "warn", shape: "off", line: "Nothing to do: no flow is enabled" };
  return { tone: "ok", shape: "ok", line: "All is well" };
}

const number1 = (n) => plural(n, "thing");

// aloud is what a screen reader hears when it changes: no times, which change by themselves.
export function aloud(report) {
  const first = report.problems[0];
  return `${judge(report).line}.${first ? ` ${first.severity === "critical" ? "Critical" : "Warning"}: ${plain([first.flow, first.where, first.what].filter(Boolean).join(", "))}.` : ""}`;
}

export function verdict(report, now) {
  const { tone, shape, line } = judge(report);
  const flows = report.flows;
  const lag = flows.reduce((n, f) => n + f.lag_records, 0), lost = Math.max(0, ...flows.map((f) => f.rpo_seconds));
  const under = flows.length ? `${plural(flows.length, "flow")}, ${plural(flows.reduce((n, f) => n + Object.values(f.partitions).reduce((a, b) => a + b, 0), 0), "partition")} here; `
    + `${plural(lag, "record")} to copy; if the source died now, what came in the last ${span(lost)} might be lost` : "No flow of the file has enabled = true.";
  return el("div", { class: `verdict ${tone}` },
    el("div", { class: "verdict-line" }, icon(shape), el("h1", {}, line)),
    el("p", { class: "under" }, under, "."),
    report.problems.length ? el("ol", { class: "problems", "aria-label": "What is wrong" }, report.problems.map((p, i) => problem(p, i, now))) : null);
}

function problem(p, i, now) {
  const critical = p.severity === "critical";
  const at = moment(p.since);
  return el("li", { class: critical ? "bad" : "warn", key: `${p.alert}|${p.flow}|${p.where}|${i}` },
    el("span", { class: "severity" }, icon(critical ? "bad" : "warn"), critical ? "Critical" : "Warning"),
    el("div", { class: "what" },
      el("p", {}, p.where ? [el("strong", {}, name(p.where)), ": "] : null, name(p.what)),
      el("p", { class: "note" }, p.flow ? ["Flow ", name(p.flow), ". "] : null, at ? [at > now ? ["On ", when(at, now)] : ["Since ", since(at, now)], ". "] : null,
        "What to do: ", el("b", {}, plain(p.alert)), " in ", el("code", {}, `docs/alerts.md#${plain(p.alert).toLowerCase()}`))));
}

// silence is the verdict while the process does not answer.
export function silence(last, error, now) {
  return el("div", { class: "verdict off" },
    el("div", { class: "verdict-line" }, icon("off"), el("h1", {}, last ? `No answer since ${clock(last)}` : "No answer")),
    el("p", { class: "under" }, last ? [`For ${span((now - last) / 1000)}. What is below is as of then, and may be wrong by now. `] : "The process does not answer. ",
      "It may have ended or hang, or cannot be reached from here; it is asked again every second.", error ? el("span", { class: "note" }, ` (${plain(error, 200)})`) : null));
}
