// The page: asks the process every second while somebody looks, and shows what it says, or that it says nothing.
import { Asks, forget, get, hasToken, history, samples, useToken } from "./api.js";
import { archive, drills } from "./archive.js";
import { byId, show } from "./dom.js";
import { flows } from "./flows.js";
import { clock, name, plain } from "./format.js";
import { groups } from "./groups.js";
import * as partitions from "./partitions.js";
import { certificates, foot, settings } from "./process.js";
import { aloud, judge, silence, verdict } from "./verdict.js";

const EVERY = 1000; // what is wrong must be seen within five seconds of its beginning, and the process itself needs some of them
const REST_EVERY = 1900; // samples are made every two
const SILENT = 6500; // ms since the last answer
const SETTINGS_EVERY = 30000;
const SHORT_LIFE = 600e3; // ms: of a younger process the last five minutes are drawn at first
const DRAWN = 4; // flows whose charts are open at first

let report = null;
let heard = 0; // when the last answer came, by our clock that only goes forward
let skew = 0; // what the process's clock is ahead of ours
let failed = ""; // why the last question had no answer
let lacking = ""; // why a part of the page is not as of now
let asks = false; // for a token
let list = []; // settings
let listed = 0;
let rested = 0; // when the rest was asked for
let timer = 0;
let asking = false;
let later = false; // somebody wants it anew while it is being asked

const now = () => new Date(Date.now() + skew);
const range = () => Number(document.querySelector("input[name=range]:checked").value);

// Charts that are open are asked for, others are not: a process may have a hundred flows.
const choice = new Map();
function opened(flow, i) {
  if (!choice.has(flow)) choice.set(flow, i < DRAWN);
  return choice.get(flow);
}
document.addEventListener("toggle", (e) => {
  if (e.target.dataset?.flow === undefined) return;
  if (choice.get(e.target.dataset.flow) === e.target.open) return;
  choice.set(e.target.dataset.flow, e.target.open);
  if (e.target.open) again();
}, true);

async function ask(all) {
  const got = await get("api/status");
  if (report && got.started !== report.started) { // another life of the process: its counts begin anew
    forget();
    listed = 0;
  }
  skew = Date.parse(got.at) - Date.now();
  heard = performance.now();
  failed = "";
  asks = false;
  if (!report && skew + Date.now() - Date.parse(got.started) < SHORT_LIFE) document.querySelector("input[name=range][value='300']").checked = true;
  report = got;
  draw();
  if (!all && performance.now() - rested < REST_EVERY) return;
  rested = performance.now();
  const jobs = got.flows.filter((f, i) => opened(f.name, i)).map((f) => history(f.name));
  jobs.push(partitions.load());
  if (performance.now() - listed > SETTINGS_EVERY || listed === 0) {
    listed = performance.now();
    jobs.push(get("api/settings").then((s) => { list = s; }));
  }
  const out = await Promise.allSettled(jobs);
  lacking = out.find((o) => o.status === "rejected")?.reason.message ?? "";
}

async function again(all = true) {
  if (asking) {
    later ||= all;
    return;
  }
  clearTimeout(timer);
  if (document.hidden) return; // nobody looks; visibilitychange asks again
  asking = true;
  const began = performance.now();
  try {
    await ask(all);
  } catch (e) {
    if (e instanceof Asks) asks = true;
    else failed = e.name === "TimeoutError" ? "it took too long" : e.name === "TypeError" ? "no connection" : e.message;
  }
  asking = false;
  draw();
  clearTimeout(timer);
  if (!asks) timer = setTimeout(again, later ? 0 : Math.max(EVERY - (performance.now() - began), 200), later);
  later = false;
}

const silent = () => failed !== "" || (report !== null && performance.now() - heard > SILENT);

let said = "";
function say(text) { // only what is new is said aloud: that something is a second older is not
  const gist = text.replace(/[\d.,:]+/g, "");
  if (gist === said) return;
  said = gist;
  byId("say").textContent = text;
}

function draw() {
  byId("gate").hidden = !asks;
  byId("all").hidden = asks || (!report && !failed);
  if (asks) {
    tell("off", "asks for a token", "mirror: token");
    return;
  }
  const quiet = silent();
  document.body.classList.toggle("stale", quiet);
  if (quiet) {
    const last = report ? new Date(Date.now() - (performance.now() - heard)) : null;
    tell("off", last ? `no answer since ${clock(last)}` : "no answer", "no answer · mirror");
    say(last ? `The process does not answer since ${clock(last)}.` : "The process does not answer.");
    show(byId("verdict"), silence(last, failed, Date.now()));
    if (!report) byId("all").classList.add("bare");
    return;
  }
  if (!report) return;
  byId("all").classList.remove("bare");
  const at = now();
  const { tone, line } = judge(report);
  tell(tone, `live, ${clock(at)}`, `${line} · ${plain(report.instance) || "mirror"}`);
  say(aloud(report));
  show(byId("who"), name(report.instance));
  show(byId("verdict"), verdict(report, at));
  show(byId("flows-in"), flows(report, at, samples, range(), opened));
  partitions.draw(report, at);
  show(byId("groups-in"), groups(report, draw));
  show(byId("archive-in"), archive(report, at, draw));
  show(byId("drills-in"), drills(report, at));
  show(byId("certificates-in"), certificates(report, at));
  settings(list);
  show(byId("foot"), foot(report, at, lacking, hasToken() ? forgetToken : null));
}

const COLOURS = { ok: "%231a7f4b", warn: "%23b07400", bad: "%23c62828", off: "%23808a98" };
const FORMS = { ok: "<circle cx='8' cy='8' r='7'/>", warn: "<path d='M8 1 15.5 15H.5Z'/>", bad: "<path d='M1 1h14v14H1Z'/>", off: "<circle cx='8' cy='8' r='7'/>" };

// tell shows in the bar, and in the title and icon of the tab, how it stands.
function tell(tone, words, title) {
  byId("link").className = `link ${tone === "off" ? "off" : "on"}`;
  byId("link-text").textContent = words;
  document.title = title;
  const icon = `data:image/svg+xml,${`<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' fill='${COLOURS[tone]}'>${FORMS[tone]}</svg>`.replaceAll("<", "%3C").replaceAll(">", "%3E")}`;
  if (byId("icon").getAttribute("href") !== icon) byId("icon").setAttribute("href", icon);
}

function forgetToken() {
  useToken("");
  report = null;
  forget();
  again();
}

byId("gate-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  useToken(byId("token").value.trim());
  byId("gate-note").textContent = "";
  try {
    await ask(true);
  } catch (err) {
    asks = err instanceof Asks;
    failed = err.message;
  }
  if (asks) {
    useToken("");
    byId("gate-note").textContent = "That is not the token of this process.";
    byId("token").setAttribute("aria-invalid", "true");
    byId("token").focus();
    return;
  }
  byId("token").value = "";
  byId("token").removeAttribute("aria-invalid");
  again();
  byId("main").focus();
});
byId("s-text").addEventListener("input", () => settings(list));
byId("settings-form").addEventListener("submit", (e) => e.preventDefault());
for (const r of document.querySelectorAll("input[name=range]")) r.addEventListener("change", draw);
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : again()));
setInterval(() => { if (!document.hidden && silent()) draw(); }, 500);
partitions.begin(again);
again();
