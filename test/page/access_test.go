package page

import (
	"testing"

	"github.com/chromedp/chromedp/kb"

	"tandem/internal/testkit/browser"
)

// fits checks that no width from a small phone to a desk needs scrolling sideways.
func fits(t *testing.T, tab *browser.Tab) {
	t.Helper()
	for _, width := range []int{320, 360, 414, 768, 861, 1024, 1280} {
		tab.Look(browser.View{Width: width, Height: 800, Phone: width < 500})
		if over := browser.Eval[[]string](tab, `new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => {
			const out = [];
			if (document.documentElement.scrollWidth > innerWidth) out.push("page: " + document.documentElement.scrollWidth + " of " + innerWidth);
			for (const e of document.querySelectorAll("main *, header *")) {
				const box = e.getBoundingClientRect();
				if (box.width && box.right > innerWidth + 1 && !e.closest(".unseen, .tall, thead")) out.push(e.tagName + "." + e.getAttribute("class") + " ends at " + Math.round(box.right));
			}
			r(out.slice(0, 5));
		})))`); len(over) > 0 {
			t.Errorf("at a width of %d: %q", width, over)
		}
	}
	tab.Look(desk)
}

// contrast finds text whose contrast with what is behind it is less than 4.5, as WCAG computes it. Controls that are disabled are
// exempt there too.
const contrast = `(() => {
	const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
	const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const light = (c) => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
	const ground = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
	};
	const out = [];
	let n = 0;
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.nodeValue.trim() || !e.checkVisibility({visibilityProperty: true, opacityProperty: true}) || e.closest(".unseen, :disabled, script, noscript, option, .skip")) continue;
		const style = getComputedStyle(e);
		const ink = parse(e.closest("svg") ? style.fill : style.color);
		const behind = ground(e);
		const a = light(over(ink, behind)), b = light(behind);
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		n++;
		if (ratio < 4.5) out.push(ratio.toFixed(2) + " " + e.tagName + "." + e.getAttribute("class") + " " + walk.currentNode.nodeValue.trim().slice(0, 40));
	}
	return [String(n)].concat([...new Set(out)].slice(0, 10));
})()`

func legible(t *testing.T, tab *browser.Tab) {
	t.Helper()
	for name, v := range map[string]browser.View{"light": desk, "dark": dark(desk), "dark on a phone": dark(phone)} {
		tab.Look(v)
		got := browser.Eval[[]string](tab, contrast)
		if len(got) > 1 {
			t.Errorf("%s, of %s texts: too faint: %q", name, got[0], got[1:])
		}
	}
	tab.Look(desk)
}

// named checks what a screen reader rests on.
func named(t *testing.T, tab *browser.Tab) {
	t.Helper()
	for _, wrong := range browser.Eval[[]string](tab, `(() => {
		const out = [];
		const shown = (e) => e.checkVisibility();
		const name = (e) => e.getAttribute("aria-label") || (e.getAttribute("aria-labelledby") ?? "").split(" ").map(i => document.getElementById(i)?.textContent ?? "").join("") || [...(e.labels ?? [])].map(l => l.textContent).join("") || e.textContent.trim() || e.title;
		for (const e of document.querySelectorAll("button, a[href], input, select, summary, meter, [role=slider], [role=region], [role=img], table, nav, section, ol.problems, form[role=search]")) {
			if (shown(e) && !name(e)) out.push("no name: " + e.outerHTML.slice(0, 100));
		}
		for (const e of document.querySelectorAll("nav, section, table, form[role=search], [role=region], fieldset")) {
			if (shown(e) && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby") && !e.querySelector("legend")) out.push("no label: " + e.outerHTML.slice(0, 100));
		}
		const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
		for (const id of new Set(ids)) if (ids.filter(i => i === id).length > 1) out.push("twice: #" + id);
		let level = 0;
		for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
			if (!shown(h)) continue;
			const is = Number(h.tagName[1]);
			if (is > level + 1 && level) out.push("h" + level + " is followed by h" + is + ": " + h.textContent);
			level = is;
		}
		for (const e of document.querySelectorAll("svg")) if (e.getAttribute("aria-hidden") !== "true" && !e.getAttribute("aria-label")) out.push("a picture without words: " + e.outerHTML.slice(0, 80));
		for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) for (const a of ["aria-labelledby", "aria-describedby"]) for (const id of (e.getAttribute(a) ?? "").split(" ").filter(Boolean)) if (!document.getElementById(id)) out.push(a + " leads nowhere: " + id);
		for (const e of document.querySelectorAll("nav a")) if (!document.querySelector(e.getAttribute("href"))) out.push("a link leads nowhere: " + e.textContent);
		for (const e of document.querySelectorAll("th")) if (e.getAttribute("scope") !== "col") out.push("a heading of no column");
		for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) out.push("an order of its own: " + e.outerHTML.slice(0, 80));
		if (!document.documentElement.lang || !document.title || document.querySelectorAll("main").length !== 1) out.push("no language, no title, or not one main part");
		if (document.querySelectorAll("[style]").length) out.push("a style of its own, which the policy forbids");
		return out.slice(0, 20);
	})()`) {
		t.Error(wrong)
	}
}

// keyboard: the whole page is reached with the tabulator in the order it is read, sees where it is, and leaves again.
func keyboard(t *testing.T, b *browser.Browser) {
	w := usual()
	w.past = true
	tab, _ := visit(t, b, w, desk)
	until(t, tab, `document.querySelectorAll("#flows-in .line").length >= 8`)
	type stop struct {
		What    string
		Visible bool
		Order   int
	}
	at := func() stop {
		return browser.Eval[stop](tab, `(() => {
			const e = document.activeElement;
			const of = e.matches(".switch input") ? e.nextElementSibling : e;
			const style = getComputedStyle(of), box = e.getBoundingClientRect();
			window.order ??= new Map();
			const all = [...document.querySelectorAll("*")];
			return {What: e === document.body ? "" : (e.id || e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent || e.tagName).trim().slice(0, 30), Visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.bottom > 0 && box.top < innerHeight, Order: all.indexOf(e)};
		})()`)
	}
	tab.Press(kb.Tab)
	if first := at(); first.What != "Skip to the state of things" || !first.Visible {
		t.Errorf("the first stop is %+v", first)
	}
	tab.Press(kb.Enter)
	until(t, tab, `document.activeElement.id === "main"`)
	tab.Do(`document.activeElement.blur()`)
	tab.Open(browser.Eval[string](tab, "location.pathname && location.origin + '/'"))
	until(t, tab, `document.querySelectorAll("#flows-in .line").length >= 8 && document.querySelector("#settings-in table")`)
	wanted := browser.Eval[int](tab, `[...document.querySelectorAll("a[href], button:not(:disabled), input, select, summary, [tabindex='0']")].filter(e => e.checkVisibility() && !(e.type === "radio" && !e.checked)).length`)
	var stops []string
	last := -1
	for range wanted + 20 {
		tab.Press(kb.Tab)
		s := at()
		if s.What == "" {
			break // out of the page: no trap
		}
		stops = append(stops, s.What)
		if !s.Visible {
			t.Errorf("nobody sees that %q has the focus", s.What)
		}
		if s.Order < last {
			t.Errorf("%q comes after what is below it", s.What)
		}
		last = s.Order
	}
	if len(stops) != wanted {
		t.Errorf("%d stops, want %d: %q", len(stops), wanted, stops)
	}
	// a chart is read with the arrows
	tab.Do(`document.querySelector("#flows-in svg.pic").focus()`)
	said := func() string {
		return browser.Eval[string](tab, `document.querySelector("#flows-in svg.pic").getAttribute("aria-valuetext")`)
	}
	now := said()
	tab.Press(kb.ArrowLeft)
	earlier := said()
	tab.Press(kb.Home)
	first := said()
	tab.Press(kb.Escape)
	if now == earlier || first == earlier || now[:5] != "last:" || earlier[:5] == "last:" {
		t.Errorf("the chart says %q, then %q, then %q", now, earlier, first)
	}
	if n := browser.Eval[int](tab, `document.querySelectorAll("#flows-in svg.pic .cursor *").length`); n != 0 {
		t.Error("the cursor stays")
	}
	// the range is a choice of one
	tab.Do(`document.querySelector("input[name=range]:checked").focus()`)
	tab.Press(kb.ArrowLeft)
	until(t, tab, `document.querySelector("#flows-in svg.pic").getAttribute("aria-label").includes("the last 5 minutes")`)
}
