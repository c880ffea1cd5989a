// What the process says. Addresses are relative, so that the page works below the path of a proxy too.

const WAIT = 6000; // ms for an answer; the process itself gives a flow three seconds to tell where it stands

export class Asks extends Error {} // for a token

let token = "";
try { token = sessionStorage.getItem("token") ?? ""; } catch { /* a browser that keeps nothing */ }

export const hasToken = () => token !== "";

// useToken is for this tab only: what is typed in at three in the morning should not outlive the night.
export function useToken(given) {
  token = given;
  try {
    if (token) sessionStorage.setItem("token", token);
    else sessionStorage.removeItem("token");
  } catch { /* as above */ }
}

export async function get(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(WAIT), headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (answer.status === 401) throw new Asks();
  if (!answer.ok) throw new Error(`${answer.status}: ${(await answer.text()).slice(0, 300)}`);
  return answer.json();
}

// Histories are asked for once, then only for what is new.
const KEEP = 1800e3;
const histories = new Map(); // by flow: {points: [{at, ...}], last}

export async function history(flow) {
  const have = histories.get(flow) ?? { list: [], last: "" };
  const fresh = await get(`api/history?flow=${encodeURIComponent(flow)}${have.last ? `&after=${encodeURIComponent(have.last)}` : ""}`);
  for (const s of fresh) have.list.push({ ...s, ms: Date.parse(s.at) });
  if (fresh.length) have.last = fresh.at(-1).at;
  const newest = have.list.at(-1)?.ms ?? 0;
  have.list = have.list.filter((s) => s.ms >= newest - KEEP);
  histories.set(flow, have);
}

export const samples = (flow) => histories.get(flow)?.list ?? [];

export const forget = () => histories.clear();
