package browser

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Browser is a running Chromium.
type Browser struct {
	ctx context.Context //nolint:containedctx // chromedp's contexts are the browser and its tabs
}

// patience bounds a single step in a tab. Machines that run brokers beside it are slow.
const patience = 2 * time.Minute

// Start runs a browser for the length of the test.
func Start(t testing.TB) *Browser {
	t.Helper()
	program, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "tandem-browser-") //nolint:usetesting // its children may write there for a moment after its end: no reason to fail
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	flags := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(patience)}
	for _, name := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", "no-default-browser-check", "disable-extensions", "disable-breakpad", "hide-scrollbars",
	} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(stop)
	// The library tells of events that only a newer protocol has: not of interest.
	ctx, _ := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits for its end; how a browser ends that has done its work does not matter
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return &Browser{ctx}
}

// View is how somebody looks at a page.
type View struct {
	Width, Height int
	Dark          bool // prefers-color-scheme
	Phone         bool // touch, and the width of the device is that of the page
}

// Tab is a tab of a browser. Its methods fail the test when a step cannot be made.
type Tab struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // as above

	mu       sync.Mutex // guards what follows
	requests []string
	console  []string
}

// Tab opens an empty tab.
func (b *Browser) Tab(t testing.TB, v View) *Tab {
	t.Helper()
	ctx, end := chromedp.NewContext(b.ctx)
	t.Cleanup(end)
	tab := &Tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, tab.note); err != nil { // makes the tab too
		t.Fatalf("open a tab: %v", err)
	}
	order(tab, network.Enable, network.EnableParams{})
	order(tab, log.Enable, cdp.Empty{})
	order(tab, runtime.Enable, cdp.Empty{})
	tab.Look(v)
	return tab
}

// Look changes how the page is looked at.
func (tab *Tab) Look(v View) {
	tab.t.Helper()
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	order(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(v.Width), Height: int64(v.Height), DeviceScaleFactor: 1, Mobile: v.Phone,
	})
	order(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// order sends a command of the protocol.
func order[P, R any](tab *Tab, command cdp.Command[P, R], params P) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, command, params); err != nil {
		tab.t.Fatalf("browser: %s: %v", command.Method, err)
	}
}

// note keeps what a test asks for at its end.
func (tab *Tab) note(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		tab.requests = append(tab.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		for _, a := range e.Args {
			tab.console = append(tab.console, string(e.Type)+": "+string(a.Value)+a.Description)
		}
	case *runtime.EventExceptionThrown:
		tab.console = append(tab.console, "exception: "+e.ExceptionDetails.Text+" "+described(e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		tab.console = append(tab.console, string(e.Entry.Source)+" "+string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
	}
}

func described(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description
}

// Requests are the addresses that the tab has asked for so far, data: ones too.
func (tab *Tab) Requests() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.requests...)
}

// Console is what went to the console so far: what scripts print, exceptions, failed requests, violations of the content security policy.
func (tab *Tab) Console() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.console...)
}

// Open goes to an address.
func (tab *Tab) Open(address string) {
	tab.t.Helper()
	step(tab, "open "+address, chromedp.Navigate(address))
}

// step makes a step of chromedp.
func step[T any](tab *Tab, what string, action chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	out, err := chromedp.Run(ctx, action)
	if err != nil {
		tab.t.Fatalf("browser: %s: %v", what, err)
	}
	return out
}

// Do runs JavaScript and waits for it where it is a promise.
func (tab *Tab) Do(script string) {
	tab.t.Helper()
	step(tab, script, chromedp.Evaluate[chromedp.Void](script, chromedp.EvalAwaitPromise))
}

// Eval is what an expression of JavaScript gives.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	return step(tab, expression, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Text is the text of the first element of a selector as it is shown; empty where there is none.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return Eval[string](tab, `document.querySelector(`+quoted(selector)+`)?.innerText ?? ""`)
}

// Press presses a key, as chromedp's package kb has them, or types a text.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	step(tab, "press "+keys, chromedp.KeyEvent(keys))
}

// Screenshot keeps a picture of the whole page.
func (tab *Tab) Screenshot(file string) {
	tab.t.Helper()
	png := step(tab, "screenshot", chromedp.FullScreenshot(100))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o600); err != nil {
		tab.t.Fatal(err)
	}
}

// quoted is a text as JavaScript writes it.
func quoted(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string has no way not to be JSON
	}
	return string(out)
}
