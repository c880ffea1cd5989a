// Elements, and how those on the page become what they should be. There is no innerHTML anywhere: names of topics, groups and
// errors come from outside, and go in as text.

const SVG = "http://www.w3.org/2000/svg";

// el makes an element: el("p", {class: "note"}, "text", other). A property that is a function is a handler; key tells siblings
// apart from one drawing to the next; own(node) draws what is inside.
export function el(name, props, ...children) {
  return fill(document.createElement(name), props, children);
}

export function svg(name, props, ...children) {
  return fill(document.createElementNS(SVG, name), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function" || name === "key") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(9).filter((c) => c !== null && c !== undefined && c !== false && c !== "")
    .map((c) => (c instanceof Node ? c : String(c))));
  return node;
}

const HANDLERS = ["onclick", "own"];

// show makes the children of a node what is wanted, keeping the elements that are there: focus, selection, scroll positions and what
// a reader has opened stay as they are.
export function show(parent, ...wanted) {
  const next = wanted.flat(9).filter((c) => c !== null && c !== undefined && c !== false);
  const named = new Map();
  for (const c of parent.childNodes) if (c.key !== undefined) named.set(c.key, c);
  let at = parent.firstChild;
  for (const want of next) {
    const have = want.key !== undefined ? named.get(want.key) : at;
    if (have && alike(have, want)) {
      named.delete(want.key); // a second one of the same key is another element
      if (have !== at) parent.insertBefore(have, at);
      else at = at.nextSibling;
      become(have, want);
    } else {
      parent.insertBefore(want, at);
      drawOwn(want);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.key === b.key;

function become(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
    return;
  }
  for (const name of HANDLERS) if (have[name] !== want[name]) have[name] = want[name] ?? null;
  for (const a of [...have.attributes]) if (!want.hasAttribute(a.name) && a.name !== "open") have.removeAttribute(a.name);
  for (const a of want.attributes) if (a.name !== "open" && have.getAttribute(a.name) !== a.value) have.setAttribute(a.name, a.value);
  if (have.own) have.own(have);
  else show(have, [...want.childNodes]);
}

function drawOwn(node) {
  if (node.own) node.own(node);
  for (const c of node.children ?? []) drawOwn(c);
}

export const byId = (id) => document.getElementById(id);

const SHAPES = {
  ok: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.6 5.1-4.2 4.6a.8.8 0 0 1-1.2 0L4.4 8.8l1.2-1.1 1.2 1.3 3.6-4 1.2 1.1Z",
  bad: "M5 1h6l4 4v6l-4 4H5l-4-4V5l4-4Zm2 3v5h2V4H7Zm0 6.4V12h2v-1.6H7Z",
  warn: "M8 1 .6 14.5h14.8L8 1Zm-.9 5h1.8v4.2H7.1V6Zm0 5.4h1.8V13H7.1v-1.6Z",
  off: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.8c1.1 0 2.2.4 3 1L3.8 11A5.2 5.2 0 0 1 8 2.8Zm0 10.4c-1.1 0-2.2-.4-3-1L12.2 5A5.2 5.2 0 0 1 8 13.2Z",
  wait: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8ZM7.2 4.5v4l2.9 2.2 1-1.3-2.3-1.7V4.5H7.2Z",
  up: "M8 1.5 14 8h-3.6v6.5H5.6V8H2l6-6.5Z",
  pause: "M3.5 2h3.2v12H3.5V2Zm5.8 0h3.2v12H9.3V2Z",
  stop: "M2.5 2.5h11v11h-11z",
  half: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 1.8v10.4A5.2 5.2 0 0 1 8 2.8Z",
  arrow: "M2 7h9L7.5 3.5 8.9 2 15 8l-6.1 6-1.4-1.5L11 9H2V7Z",
  dot: "M8 3.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6Z",
};

// icon is beside a word, never instead of one.
export function icon(name, tone) {
  return svg("svg", { class: `icon ${tone ?? ""}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: SHAPES[name] ?? SHAPES.dot }));
}

export function pill(tone, shape, ...words) {
  return el("span", { class: `pill ${tone}` }, icon(shape), el("span", {}, words));
}

// table is one that a phone shows as cards. A column: {name, class, cell(row)}.
export function table(label, columns, rows, key) {
  const cell = (c, row) => el("td", { role: "cell", class: c.class, "data-label": c.name }, el("div", {}, c.cell(row)));
  return el("table", { role: "table", "aria-label": label },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, columns.map((c) => el("th", { role: "columnheader", scope: "col", class: c.class }, c.name)))),
    el("tbody", { role: "rowgroup" }, rows.map((row) => el("tr", { role: "row", key: key?.(row) }, columns.map((c) => cell(c, row))))));
}

// empty says what it means that there is nothing.
export function empty(...words) {
  return el("p", { class: "card empty" }, words);
}

// figure is a number with what it is.
export function figure(name, value, note, tone) {
  return el("div", { class: "figure" }, el("dt", {}, name), el("dd", { class: tone }, value), note ? el("dd", { class: "note" }, note) : null);
}
