// What the archive of each flow holds.
import { el, empty, figure, pill } from "./dom.js";
import { ago, bytes, moment, name, number, plain, plural, span, when } from "./format.js";
import { timeline } from "./timeline.js";

const opened = new Set(); // flows of which the reader wants to see all topics

const LOOK = { archiving: ["ok", "ok"], waiting: ["info", "wait"], failed: ["bad", "bad"], "store does not answer": ["bad", "off"] };

export function archive(report, now, again) {
  if (report.archives.length === 0) {
    return [empty("No archive is configured: there is one copy, the target. With ", el("code", {}, "archive.url"), " every batch that is replicated is kept in object storage too, and topics can be restored as of any moment.")];
  }
  return report.archives.map((a) => card(a, now, again));
}

function card(a, now, again) {
  const [tone, shape] = LOOK[a.state] ?? ["warn", "warn"];
  const durable = moment(a.durable), held = a.restorable, all = opened.has(a.flow);
  const more = () => { all ? opened.delete(a.flow) : opened.add(a.flow); again(); };
  const late = durable && now - durable > 600e3 ? "warn" : "";
  return el("article", { class: "card", key: a.flow },
    el("header", {}, el("h3", {}, name(a.flow)), pill(tone, shape, plain(a.state)), a.reason ? el("span", { class: "note reason" }, name(a.reason)) : null),
    el("dl", { class: "figures" },
      figure("Durable up to", durable ? when(durable, now) : "not yet", durable ? ago(durable, now) : "nothing has been written since the start", late),
      figure("Waits", span(a.age_seconds), a.age_seconds ? "the oldest that is not in the store" : "nothing that was read"),
      figure("Behind", [number(a.behind_partitions), el("small", {}, a.behind_partitions === 1 ? " partition" : " partitions")], a.behind_partitions ? "read from the source later" : "none"),
      held ? figure("Holds", bytes(held.bytes), plural(held.objects, "object")) : null,
      held ? figure("Restorable from", moment(held.oldest) ? when(moment(held.oldest), now) : "nothing yet", moment(held.newest) ? ["all topics, up to ", when(moment(held.newest), now)] : null) : null,
      held ? figure("Holes", number(held.holes), held.holes ? "records that the source once had" : "none", held.holes ? "warn" : "") : null,
      held ? verified(held.verified, now) : null),
    held ? el("div", { class: "held-in" }, el("h4", {}, "What can be restored"),
      timeline(held, now.getTime(), all, more),
      el("p", { class: "note" }, "As of ", when(moment(held.as_of), now), held.error ? [". It could not be listed since: ", name(held.error)] : null, ".")) :
      el("p", { class: "note" }, "The archive has not been listed yet."));
}

function verified(v, now) {
  if (!v) return figure("Verified", "never", "archive verify does it");
  const at = moment(v.at);
  const old = now - at > 8 * 864e5;
  return figure("Verified", v.passed ? ago(at, now) : "found something", [`${plain(v.level)}, `, when(at, now), v.passed ? ", in order" : ""], v.passed ? (old ? "warn" : "") : "bad");
}

// drills are rehearsals.
export function drills(report, now) {
  if (report.drills.length === 0) {
    return [empty("No drill has been run yet, as far as this process knows: an untested switch is no switch. Run ", el("code", {}, "failover drill"), ", or set ", el("code", {}, "drill.schedule"), ".")];
  }
  return [el("div", { class: "cards" }, report.drills.map((d) => drill(d, now)))];
}

function drill(d, now) {
  const at = moment(d.at), due = moment(d.due);
  const over = due && now - due > 864e5;
  const outcome = at ? (d.passed ? pill("ok", "ok", "passed") : pill("bad", "bad", "failed")) : pill("warn", "wait", "never run");
  return el("article", { class: "card drill", key: `${d.kind}|${d.flow}` },
    el("header", {}, el("h3", {}, `${plain(d.kind)} drill, `, name(d.flow)), outcome),
    d.summary ? el("p", {}, name(d.summary)) : null,
    el("p", { class: "note" }, at ? [when(at, now), `, ${ago(at, now)}; took ${span(d.seconds)}. `] : null,
      due ? [over ? "Overdue since " : due > now ? "Next " : "Due ", when(due, now), "."] : "Not scheduled."));
}

