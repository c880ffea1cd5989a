package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tandem/internal/status"
	"tandem/internal/testkit/browser"
)

// TestPage is about states that are made up: what the API says is what the page shows, and it can be used by anybody.
func TestPage(t *testing.T) {
	b := browser.Start(t)
	for _, c := range []struct {
		story string
		run   func(t *testing.T, b *browser.Browser)
	}{
		{"all is well", allIsWell}, {"a bad night", badNight}, {"nothing is configured", nothingConfigured}, {"names of somebody who means harm", hostileNames},
		{"a token", token}, {"no answer", noAnswer}, {"partitions are filtered and cut into pages", partitionPages}, {"settings are searched", settingsSearch},
		{"what the reader does outlives the next answer", readerState}, {"nobody looks", hidden}, {"keyboard", keyboard}, {"themes", themes},
	} {
		t.Run(c.story, func(t *testing.T) { c.run(t, b) })
	}
}

// visit opens the page of a world, and at the end of the test looks at what the tab did: it asked nobody but the process, and nothing
// went to the console.
func visit(t *testing.T, b *browser.Browser, w *world, v browser.View) (*browser.Tab, *site) {
	t.Helper()
	s := serve(t, w, status.Options{})
	tab := b.Tab(t, v)
	tab.Open(s.url())
	until(t, tab, `document.querySelector("#settings-in").children.length && document.querySelector("#partitions-in").children.length`)
	t.Cleanup(func() { calm(t, tab, s) })
	return tab, s
}

func calm(t *testing.T, tab *browser.Tab, s *site) {
	t.Helper()
	for _, r := range tab.Requests() {
		if !strings.HasPrefix(r, s.url()) && !strings.HasPrefix(r, "data:image/svg+xml,") {
			t.Errorf("the page has asked for %s", r)
		}
	}
	for _, line := range tab.Console() {
		t.Errorf("console: %s", line)
	}
}

// says checks that the text of an element has all of these, white space aside.
func says(t *testing.T, tab *browser.Tab, selector string, all ...string) {
	t.Helper()
	text := strings.Join(strings.Fields(tab.Text(selector)), " ")
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("%s says %.1500q, which lacks %q", selector, text, want)
		}
	}
}

func allIsWell(t *testing.T, b *browser.Browser) {
	w := usual()
	w.past = true
	tab, _ := visit(t, b, w, desk)
	until(t, tab, `document.querySelectorAll("#flows-in .line").length >= 8`)
	says(t, tab, "#verdict", "All is well", "2 flows, 436 partitions here; 3,686 records to copy")
	says(t, tab, "#flows-in article", "1.8 k records", "the oldest waits for 0.4 s", "2.1 k records", "what came in the last 0.7 s", "records/s", "4.8 bn records", "4.3 TB since the start",
		"heartbeat 0.8 s ago", "catching up 14 of 412", "live 396", "throttled 2", "2 processes share this flow")
	says(t, tab, "#groups-in article", "2 positions a little early", "38 groups, looked at 11 s ago", "exact 410", "clamped 2", "billing-nightly", "older than the map of offsets goes back")
	says(t, tab, "#archive-in", "archiving", "9.3 TB", "18,204 objects", "orders", "sessions.eu", "deleted", "month-end", "before-release-214", "records", "in order")
	says(t, tab, "#drills-in", "failover drill, east->west", "passed", "the switch would take 1.9 s", "archive drill", "took 2 min 11 s", "Next ")
	says(t, tab, "#certificates-in", "CN=mirror,O=Example", "trusted authority", "our own", "in 61 d")
	says(t, tab, "#settings-in", "status.token", "(hidden)", "line 12", "sync.group.offsets.enabled")
	says(t, tab, "#foot", "mirror-0", "v1.4.0", "/etc/mirror/mm2.properties", "74.4 MB of 268 MB")
	if title := browser.Eval[string](tab, "document.title"); title != "All is well · mirror-0" {
		t.Errorf("title %q", title)
	}
	if said := tab.Text("#say"); said != "All is well." {
		t.Errorf("said aloud: %q", said)
	}
	// charts have words for who does not see them, and axes with numbers
	label := browser.Eval[string](tab, `document.querySelector("#flows-in svg.pic").getAttribute("aria-label")`)
	for _, want := range []string{"Lag in records, the last 30 minutes", "lag: last ", "highest ", " at "} {
		if !strings.Contains(label, want) {
			t.Errorf("label %q lacks %q", label, want)
		}
	}
	if ticks := browser.Eval[[]string](tab, `[...document.querySelectorAll("#flows-in svg.pic")[0].querySelectorAll(".tick")].map(t => t.textContent)`); len(ticks) < 6 || ticks[2] != "0" {
		t.Errorf("axes: %q", ticks)
	}
	// times are local, and UTC on pointing at them
	if utc := browser.Eval[string](tab, `document.querySelector("#archive-in time").title`); !strings.HasSuffix(utc, " UTC") {
		t.Errorf("title of a time: %q", utc)
	}
	shots(tab, "usual")
	fits(t, tab)
	legible(t, tab)
	named(t, tab)
}

func badNight(t *testing.T, b *browser.Browser) {
	w := troubled()
	w.past = true
	tab, s := visit(t, b, w, desk)
	says(t, tab, "#verdict", "4 things are wrong, and 3 things ask for a look", "docs/alerts.md#tandemquarantine", "TandemArchiveStoreErrors", "search-indexer")
	first := browser.Eval[string](tab, `document.querySelector("#verdict li").innerText`)
	if !strings.Contains(first, "Critical") || !strings.Contains(first, "orders/3") || !strings.Contains(first, "Since ") || !strings.Contains(first, "(6 min ") {
		t.Errorf("first: %q", first)
	}
	if n := browser.Eval[int](tab, `document.querySelectorAll("#verdict li").length`); n != len(w.report.Problems) {
		t.Errorf("%d problems are shown of %d", n, len(w.report.Problems))
	}
	says(t, tab, "#flows-in article", "13 partitions stand still", "orders/3 quarantined: record 88,412", "payments/0, payments/1, payments/2 and 9 more stalled: a broker of east is away",
		"settings differ", "other than here", "quarantined 1", "stalled 12")
	says(t, tab, "#partitions-in tbody tr", "orders/3", "quarantined, stands still", "88,110", "6 min 12 s")
	says(t, tab, "#groups-in article", "2 positions unknown", "ahead 18", "reports-legacy", "committed before the flow was set up")
	says(t, tab, "#archive-in", "store does not answer", "connection refused", "3 holes", "It could not be listed since")
	says(t, tab, "#drills-in", "failed", "2 of 50 partitions differ")
	if said := tab.Text("#say"); !strings.HasPrefix(said, "4 things are wrong, and 3 things ask for a look. Critical: east->west, orders/3, the partition stands still") {
		t.Errorf("said aloud: %q", said)
	}
	if title := browser.Eval[string](tab, "document.title"); title != "4 things are wrong, and 3 things ask for a look · mirror-0" {
		t.Errorf("title %q", title)
	}
	shots(tab, "troubled")
	fits(t, tab)
	legible(t, tab)
	named(t, tab)
	// and it goes away by itself
	calm := usual().report
	s.world.change(func(r *status.Report) { *r = calm })
	until(t, tab, `document.querySelector("h1").textContent === "All is well"`)
}

func nothingConfigured(t *testing.T, b *browser.Browser) {
	w := &world{report: status.Report{Ready: true, Instance: "one", Version: "v1", Started: time.Now()}}
	tab, s := visit(t, b, w, desk)
	says(t, tab, "#verdict", "Nothing to do: no flow is enabled")
	says(t, tab, "#flows-in", "the file has no A->B.enabled = true")
	says(t, tab, "#partitions-in", "copies no partition yet")
	says(t, tab, "#groups-in", "No flow is enabled")
	says(t, tab, "#archive-in", "No archive is configured: there is one copy, the target")
	says(t, tab, "#drills-in", "an untested switch is no switch")
	says(t, tab, "#certificates-in", "No certificate is used")
	says(t, tab, "#settings-in", "tells no settings")
	s.world.change(func(r *status.Report) {
		r.Ready, r.Waiting = false, "flow east->west has not started"
		r.Flows = []status.Flow{{Name: "east->west", Source: "east", Target: "west"}}
	})
	until(t, tab, `document.querySelector("h1").textContent === "Not ready: flow east->west has not started"`)
	says(t, tab, "#flows-in", "has not started")
	shots(tab, "empty")
	fits(t, tab)
	legible(t, tab)
	named(t, tab)
}

// hostileNames: whatever a topic, a group or an error is called, it is text, and does not push the page out of shape.
func hostileNames(t *testing.T, b *browser.Browser) {
	w := troubled()
	evil := `<img src=x onerror="window.hit=1"><script>window.hit=2</script>"'&lt;` + "\u202egnp.exe\u200b\x00" + strings.Repeat("w", 249)
	r := &w.report
	r.Instance, r.Version, r.File = evil, evil, evil
	for i := range r.Flows {
		f := &r.Flows[i]
		f.Name, f.Source, f.Target = fmt.Sprint(i, evil), evil, evil
		f.Partitions[evil] = 3
		for j := range f.Standing {
			f.Standing[j].Source, f.Standing[j].Reason, f.Standing[j].State = fmt.Sprint(j, evil), evil, evil
		}
		f.Groups.Listed[0] = status.Group{Name: evil, Classes: map[string]int{evil: 1}, Note: evil}
		f.Members[0].Instance, f.Members[0].Host = evil, evil
	}
	for i := range r.Problems {
		p := &r.Problems[i]
		p.Where, p.What, p.Flow, p.Alert = evil, evil, evil, evil
	}
	a := &r.Archives[0]
	a.Flow, a.State, a.Reason, a.Restorable.Error, a.Restorable.Verified.Level = evil, evil, evil, evil, evil
	for i := range a.Restorable.Topics {
		a.Restorable.Topics[i].Topic = evil
	}
	a.Restorable.Points[0].Name = evil
	r.Drills[0] = status.Drill{Kind: evil, Flow: evil, Summary: evil, At: time.Now()}
	r.Certificates[0] = status.Certificate{Cluster: evil, Subject: evil, File: evil, Ends: time.Now().Add(time.Hour)}
	w.settings[0] = status.Setting{Flow: evil, Key: evil, Value: evil, From: evil}
	for i := range w.partitions {
		p := &w.partitions[i]
		p.Flow, p.Source, p.Remote, p.Reason = evil, fmt.Sprint(i, evil), evil, evil
	}
	tab, _ := visit(t, b, w, desk)
	says(t, tab, "#verdict", `<img src=x onerror="window.hit=1"><script>window.hit=2</script>"'&lt;⟨U+202E⟩gnp.exe⟨U+200B⟩⟨U+0000⟩www`)
	for _, at := range []string{"#flows-in", "#partitions-in", "#groups-in", "#archive-in", "#drills-in", "#certificates-in", "#settings-in", "#foot"} {
		says(t, tab, at, "<script>window.hit=2</script>")
	}
	if n := browser.Eval[int](tab, `document.querySelectorAll("main img, main script, main [onerror]").length`); n != 0 {
		t.Errorf("%d elements came in by a name", n)
	}
	if browser.Eval[bool](tab, "window.hit !== undefined") {
		t.Error("a name was run as a script")
	}
	fits(t, tab)
	tab.Look(phone)
	tab.Screenshot("screenshots/hostile-phone-light.png")
}

func token(t *testing.T, b *browser.Browser) {
	s := serve(t, usual(), status.Options{Token: "s3cret"})
	tab := b.Tab(t, desk)
	tab.Open(s.url())
	until(t, tab, `!document.querySelector("#gate").hidden`)
	says(t, tab, "#gate", "This process asks for a token", "status.token")
	if browser.Eval[bool](tab, `document.querySelector("#all").offsetParent !== null`) {
		t.Error("the page shows something without a token")
	}
	shots(tab, "token")
	fits(t, tab)
	legible(t, tab)
	named(t, tab)
	tab.Do(`document.querySelector("#token").focus()`)
	tab.Press("wrong\r")
	until(t, tab, `document.querySelector("#gate-note").textContent.includes("not the token")`)
	tab.Do(`document.querySelector("#token").select()`)
	tab.Press("s3cret\r")
	until(t, tab, `document.querySelector("h1")?.textContent === "All is well" && document.querySelector("#gate").hidden`)
	// a second load of the same tab needs it no more
	tab.Open(s.url())
	until(t, tab, `document.querySelector("h1")?.textContent === "All is well" && document.querySelector("#gate").hidden`)
	if kept := browser.Eval[string](tab, `JSON.stringify(localStorage) + document.cookie + location.href`); strings.Contains(kept, "s3cret") {
		t.Errorf("the token is kept for longer than the tab: %s", kept)
	}
	tab.Do(`[...document.querySelectorAll("#foot button")].find(b => b.textContent === "Forget the token").click()`)
	until(t, tab, `!document.querySelector("#gate").hidden`)
	for _, r := range tab.Requests() {
		if !strings.HasPrefix(r, s.url()) && !strings.HasPrefix(r, "data:") || strings.Contains(r, "s3cret") {
			t.Errorf("the page has asked for %s", r)
		}
	}
	for _, line := range tab.Console() {
		if !strings.Contains(line, "401") { // which the browser itself writes there
			t.Errorf("console: %s", line)
		}
	}
}

func noAnswer(t *testing.T, b *browser.Browser) {
	w := usual()
	w.past = true
	s := serve(t, w, status.Options{})
	tab := b.Tab(t, desk)
	tab.Open(s.url())
	until(t, tab, `document.querySelector("h1")?.textContent === "All is well"`)
	s.stop()
	took := holds(t, tab, `document.querySelector("h1").textContent.startsWith("No answer since ")`, 5*time.Second)
	t.Logf("said after %v", took)
	until(t, tab, `document.querySelector("#verdict").innerText.includes("For 4")`) // it counts
	says(t, tab, "#verdict", "may be wrong by now")
	says(t, tab, "#link", "no answer since")
	says(t, tab, "#flows-in", "1.8 k records") // what was known is still there
	if said := tab.Text("#say"); !strings.HasPrefix(said, "The process does not answer since") {
		t.Errorf("said aloud: %q", said)
	}
	if !browser.Eval[bool](tab, `document.body.classList.contains("stale") && getComputedStyle(document.querySelector("#flows")).filter.includes("grayscale")`) {
		t.Error("what is old does not look old")
	}
	shots(tab, "no-answer")
	fits(t, tab)
	legible(t, tab)
	s.start()
	until(t, tab, `document.querySelector("h1").textContent === "All is well" && !document.body.classList.contains("stale")`)
}

func partitionPages(t *testing.T, b *browser.Browser) {
	w := troubled()
	tab, _ := visit(t, b, w, desk)
	says(t, tab, "#p-at", "1–25 of 413")
	tab.Do(`document.querySelector("#partitions").scrollIntoView()`)
	click := func(id string) { tab.Do(`document.querySelector("` + id + `").click()`) }
	if !browser.Eval[bool](tab, `document.querySelector("#p-prev").disabled`) {
		t.Error("there is a page before the first")
	}
	click("#p-next")
	until(t, tab, `document.querySelector("#p-at").textContent === "26–50 of 413"`)
	tab.Do(`document.querySelector("#f-topic").focus()`)
	tab.Press("orders/3")
	until(t, tab, `(() => { const rows = [...document.querySelectorAll("#partitions-in tbody tr")]; return rows.length === 12 && rows.every(r => r.innerText.includes("orders/3")); })()`)
	tab.Do(`(() => { const s = document.querySelector("#f-state"); s.value = "standing still"; s.dispatchEvent(new Event("change")); })()`)
	until(t, tab, `document.querySelector("#p-at").textContent === "1–1 of 1"`)
	says(t, tab, "#partitions-n", "1 of 413")
	tab.Do(`(() => { const s = document.querySelector("#f-flow"); s.value = "west->east"; s.dispatchEvent(new Event("change")); })()`)
	until(t, tab, `document.querySelector("#partitions-in").innerText.includes("No partition fits the filter")`)
	// when there are fewer all at once, the reader is not left on a page that is no more
	tab.Do(`(() => { for (const i of ["#f-flow", "#f-state", "#f-topic"]) { const e = document.querySelector(i); e.value = ""; e.dispatchEvent(new Event(i === "#f-topic" ? "input" : "change")); } })()`)
	until(t, tab, `document.querySelector("#p-at").textContent === "1–25 of 413"`)
	click("#p-next")
	until(t, tab, `document.querySelector("#p-at").textContent === "26–50 of 413"`)
	w.mu.Lock()
	w.partitions = w.partitions[:7]
	w.mu.Unlock()
	until(t, tab, `document.querySelector("#p-at").textContent === "1–7 of 7"`)
}

func settingsSearch(t *testing.T, b *browser.Browser) {
	tab, _ := visit(t, b, usual(), desk)
	tab.Do(`document.querySelector("#s-text").focus()`)
	tab.Press("DRILL")
	until(t, tab, `document.querySelector("#settings-n").textContent === "1 of 14"`)
	says(t, tab, "#settings-in", "drill.schedule", "0 3 * * 1", "line 27")
	tab.Press("xyz")
	until(t, tab, `document.querySelector("#settings-in").innerText.includes("No setting fits")`)
}

// readerState: focus, what was opened and what was typed stay when the next answer comes.
func readerState(t *testing.T, b *browser.Browser) {
	tab, s := visit(t, b, usual(), desk)
	tab.Do(`document.querySelector("#flows-in details.members summary").click()`)
	tab.Do(`window.kept = document.querySelector("#flows-in details.members"); document.querySelector("#groups-in button").click(); document.querySelector("#groups-in button").focus()`)
	says(t, tab, "#groups-in", "fraud-scoring", "Show fewer")
	s.world.change(func(r *status.Report) {
		r.Flows[0].LagRecords = 77
		r.Flows[0].Members = append([]status.Member{{Instance: "mirror-9", Host: "elsewhere", Same: true}}, r.Flows[0].Members...)
		r.Flows[0].Groups.Listed = append([]status.Group{{Name: "newcomer", Classes: map[string]int{"unknown": 1}}}, r.Flows[0].Groups.Listed...)
	})
	until(t, tab, `document.querySelector("#flows-in").innerText.includes("77 records") && document.querySelector("#flows-in").innerText.includes("mirror-9")`)
	if !browser.Eval[bool](tab, `window.kept.isConnected && window.kept.open && document.activeElement === document.querySelector("#groups-in button")`) {
		t.Error("the reader lost the place")
	}
	says(t, tab, "#groups-in", "newcomer", "fraud-scoring")
	// a chart that the reader has closed is not asked for any more
	tab.Do(`document.querySelector("#flows-in details.charts").open = false`)
	s.world.change(func(r *status.Report) { r.Flows[0].LagRecords = 78 })
	until(t, tab, `document.querySelector("#flows-in").innerText.includes("78 records")`)
	if browser.Eval[bool](tab, `document.querySelector("#flows-in details.charts").open`) {
		t.Error("the chart opened by itself")
	}
}

// hidden: a page that nobody sees asks nothing, and one that is seen again asks at once.
func hidden(t *testing.T, b *browser.Browser) {
	tab, s := visit(t, b, usual(), desk)
	asked := func() (n int) {
		for _, r := range tab.Requests() {
			if strings.HasSuffix(r, "/api/status") {
				n++
			}
		}
		return n
	}
	tab.Do(`Object.defineProperty(document, "hidden", {configurable: true, get: () => window.away}); window.away = true; document.dispatchEvent(new Event("visibilitychange"))`)
	tab.Do(`new Promise(r => setTimeout(r, 500))`) // what was under way
	before := asked()
	tab.Do(`new Promise(r => setTimeout(r, 4500))`)
	if n := asked() - before; n != 0 {
		t.Errorf("asked %d times while hidden", n)
	}
	s.world.change(func(r *status.Report) { r.Flows[0].LagRecords = 77 })
	tab.Do(`window.away = false; document.dispatchEvent(new Event("visibilitychange"))`)
	until(t, tab, `document.querySelector("#flows-in").innerText.includes("77 records")`)
}

func themes(t *testing.T, b *browser.Browser) {
	tab, s := visit(t, b, usual(), dark(desk))
	ground := func() string {
		return browser.Eval[string](tab, `getComputedStyle(document.body).backgroundColor`)
	}
	night := ground()
	tab.Look(desk)
	day := ground()
	if day == night {
		t.Errorf("the same by day and night: %s", day)
	}
	click := func() { tab.Do(`document.querySelector("#theme").click()`) }
	click() // light
	tab.Look(dark(desk))
	if ground() != day {
		t.Error("light was chosen, and is not kept to")
	}
	click() // dark
	tab.Look(desk)
	if ground() != night {
		t.Error("dark was chosen, and is not kept to")
	}
	tab.Open(s.url())
	if ground() != night {
		t.Error("the choice is forgotten")
	}
	click() // as the system
	if ground() != day {
		t.Error("the system's choice does not count any more")
	}
	// nothing moves by itself, whether the reader minds or not
	tab.Look(desk)
	if moves := browser.Eval[int](tab, `document.getAnimations().length + (getComputedStyle(document.documentElement).scrollBehavior === "auto" ? 0 : 1)
		+ [...document.querySelectorAll("*")].filter(e => !["0s", ""].includes(getComputedStyle(e).transitionDuration) || getComputedStyle(e).animationName !== "none").length`); moves != 0 {
		t.Errorf("%d things move", moves)
	}
}
