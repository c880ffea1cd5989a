// What is of the whole process: certificates, settings, memory.
import { byId, el, empty, icon, show, table } from "./dom.js";
import { bytes, moment, name, number, plain, span, when } from "./format.js";

const SOON = 21 * 864e5; // as the alert TandemCertificateExpiring

export function certificates(report, now) {
  if (report.certificates.length === 0) {
    return [empty("No certificate is used: no cluster of the file is reached by SSL with files of its own.")];
  }
  const left = (c) => moment(c.ends) - now;
  const list = [...report.certificates].sort((a, b) => left(a) - left(b));
  return [el("div", { class: "card" }, table("Certificates", [
    { name: "Cluster", cell: (c) => name(c.cluster) },
    { name: "Subject", class: "main", cell: (c) => name(c.subject) },
    { name: "Use", cell: (c) => (c.trusted ? "trusted authority" : "our own") },
    { name: "Ends", class: "mid", cell: (c) => [left(c) < SOON ? [icon(left(c) < 0 ? "bad" : "warn", left(c) < 0 ? "bad" : "warn"), " "] : null, when(moment(c.ends), now), left(c) < 0 ? " (has ended)" : ` (in ${span(left(c) / 1000)})`] },
    { name: "File", class: "wide", cell: (c) => name(c.file) },
  ], list, (c) => `${c.cluster}|${c.subject}|${c.file}`))];
}

const FEW = 200;

export function settings(list) {
  const text = byId("s-text").value.trim().toLowerCase();
  const left = list.filter((s) => !text || [s.flow, s.key, s.value, s.from].some((v) => String(v ?? "").toLowerCase().includes(text)));
  byId("settings-n").textContent = left.length === list.length ? number(list.length) : `${number(left.length)} of ${number(list.length)}`;
  const into = byId("settings-in");
  if (left.length === 0) {
    show(into, el("p", { class: "note" }, list.length ? "No setting fits the search." : "The process tells no settings."));
    return;
  }
  const flows = list.some((s) => s.flow);
  show(into, el("div", { class: "tall", tabindex: 0, role: "region", "aria-label": "Settings in effect" }, table("Settings", [
    flows ? { name: "Flow", class: "short", cell: (s) => (s.flow ? name(s.flow) : "process") } : null,
    { name: "Key", class: "main code", cell: (s) => name(s.key) },
    { name: "Value", class: "wide code", cell: (s) => (s.value === "" ? el("span", { class: "note" }, "empty") : name(s.value)) },
    { name: "From", class: "short", cell: (s) => name(s.from) },
  ].filter(Boolean), left.slice(0, FEW), (s) => `${s.flow}|${s.key}`)),
  left.length > FEW ? el("p", { class: "note" }, `The first ${FEW}; search for others.`) : null);
}

export function foot(report, now, lacking, forgetToken) {
  const m = report.memory, started = moment(report.started);
  return [
    lacking ? el("p", { class: "bad" }, icon("warn", "bad"), ` Not all of the page is as of now: ${plain(lacking)}`) : null,
    el("p", {}, "Instance ", name(report.instance), ", version ", name(report.version), started ? [", up since ", when(started, now), ` (${span((now - started) / 1000)})`] : null,
      report.file ? [", settings of ", name(report.file)] : null, "."),
    m.limit_bytes ? el("p", {}, el("label", {}, "Memory for records ", el("meter", { min: 0, max: m.limit_bytes, high: m.limit_bytes * 0.9, value: m.used_bytes })), ` ${bytes(m.used_bytes)} of ${bytes(m.limit_bytes)}`) : null,
    el("p", {}, "As data: ", ["api/status", "readyz", "metrics"].map((a, i) => [i ? ", " : "", el("a", { href: a }, plain(a))]), ".",
      forgetToken ? [" ", el("button", { type: "button", class: "quiet", onclick: forgetToken }, "Forget the token")] : null),
  ];
}
