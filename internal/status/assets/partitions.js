// The table of partitions: filtered and cut into pages by the process, which may have ten thousand.
import { get } from "./api.js";
import { byId, icon, show, table } from "./dom.js";
import { STATES } from "./flows.js";
import { moment, name, number, since, span } from "./format.js";

const PAGE = matchMedia("(max-width: 1060px)").matches ? 10 : 25; // on a phone a row is a card
let offset = 0;
let near = false; // to what the reader sees
let page = null;

// begin listens to the filters. again: asks for everything at once.
export function begin(again) {
  new IntersectionObserver((entries) => {
    const was = near;
    near = entries.at(-1).isIntersecting;
    if (near && !was) again();
  }, { rootMargin: "300px" }).observe(byId("partitions"));
  const first = () => {
    offset = 0;
    again();
  };
  byId("partitions-form").addEventListener("submit", (e) => e.preventDefault());
  byId("f-topic").addEventListener("input", first);
  byId("f-state").addEventListener("change", first);
  byId("f-flow").addEventListener("change", first);
  byId("p-prev").addEventListener("click", () => { offset = Math.max(offset - PAGE, 0); again(); });
  byId("p-next").addEventListener("click", () => { offset += PAGE; again(); });
  for (const s of ["standing still", ...Object.keys(STATES)]) byId("f-state").append(new Option(s, s));
}

export async function load() {
  if (!near && page) return;
  const ask = { limit: PAGE, offset, topic: byId("f-topic").value.trim(), state: byId("f-state").value, flow: byId("f-flow").value };
  const got = await get(`api/partitions?${new URLSearchParams(ask)}`);
  if (got.offset !== offset) return; // the reader has gone on
  if (got.partitions.length === 0 && got.total > 0 && offset > 0) { // fewer than there were
    offset = Math.floor((got.total - 1) / PAGE) * PAGE;
    return load();
  }
  page = got;
}

export function draw(report, now) {
  const choice = byId("f-flow");
  const names = ["", ...report.flows.map((f) => f.name)];
  if (names.join("\n") !== [...choice.options].map((o) => o.value).join("\n")) {
    const chosen = choice.value;
    choice.replaceChildren(...names.map((n) => new Option(n === "" ? "all" : n, n)));
    choice.value = names.includes(chosen) ? chosen : "";
  }
  if (!page) return;
  const many = report.flows.length > 1;
  byId("partitions-n").textContent = page.total === page.all ? number(page.all) : `${number(page.total)} of ${number(page.all)}`;
  byId("p-at").textContent = page.total ? `${number(page.offset + 1)}–${number(page.offset + page.partitions.length)} of ${number(page.total)}` : "";
  byId("p-prev").disabled = page.offset === 0;
  byId("p-next").disabled = page.offset + page.partitions.length >= page.total;
  if (page.total === 0) {
    const words = document.createElement("p");
    words.className = "note";
    words.textContent = page.all ? "No partition fits the filter." : "This process copies no partition yet: the topics of its flows match nothing on the source, or other processes have them all.";
    show(byId("partitions-in"), words);
    return;
  }
  show(byId("partitions-in"), table("Partitions", [
    many ? { name: "Flow", class: "short", cell: (p) => name(p.flow) } : null,
    { name: "Source", class: "main", cell: (p) => name(p.source) },
    { name: "Target", class: "mid", cell: (p) => name(p.remote) },
    { name: "State", class: "mid", cell: (p) => [icon(STATES[p.state]?.shape, STATES[p.state]?.tone), ` ${p.state}`, p.moves ? null : ", stands still"] },
    { name: "Lag", class: "num", cell: (p) => number(p.lag_records) },
    { name: "Waits", class: "num", cell: (p) => span(p.lag_seconds) },
    { name: "Since", class: "mid", cell: (p) => since(moment(p.since), now) },
    { name: "Reason", class: "wide", cell: (p) => name(p.reason) },
  ].filter(Boolean), page.partitions, (p) => `${p.flow}|${p.source}`));
}
