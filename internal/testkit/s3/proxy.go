package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Fault is what befalls one request. The zero Fault lets it pass; of several fields up to CutStall the first one set counts.
type Fault struct {
	Status     int    // answered without asking the server, with Code as S3's error code
	Code       string // "" answers as something that is not S3: a page, not XML
	Drop       bool   // the connection ends, the server never hears of the request
	Stall      bool   // no answer until the client gives up
	CutUpload  int64  // so many bytes of the request's body reach the server, then both connections end
	LoseAnswer bool   // the server does what was asked; the connection ends before the answer
	Cut        int64  // so many bytes of the answer's body pass, then the connection ends
	CutStall   int64  // so many bytes of the answer's body pass, then no more until the client gives up

	Wait <-chan struct{} // first the request waits until this is closed
	Page string          // with Status: the body, in place of Code
	Rate int64           // bytes of bodies pass in a second, each way
	// Then is called once the request has come as far as this lets it: before a connection ends or a made-up answer is given, and behind
	// the server's answer otherwise. The request waits for it.
	Then func()
}

// Proxy stands before a server and asks a script about each request.
type Proxy struct {
	*httptest.Server
	mu       sync.Mutex
	script   func(r *http.Request) Fault
	requests int
	busy     int
}

// NewProxy starts one for the length of the test. Without a script everything passes.
func (s *Server) NewProxy(t testing.TB) *Proxy {
	t.Helper()
	target, err := url.Parse(s.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // what was spoiled on purpose needs no line
	forward := &httputil.ReverseProxy{
		ErrorLog: quiet,
		// The Host header stays the client's: it is part of the signature.
		FlushInterval:  -1,
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: spoil,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(forward, w, r) }))
	p.Config.ErrorLog = quiet
	p.Start()
	t.Cleanup(p.stop)
	return p
}

// stop cuts what stalls first: Close waits for the open requests.
func (p *Proxy) stop() {
	p.CloseClientConnections()
	p.Close()
}

// Script sets what happens from now on; it is called for one request at a time.
func (p *Proxy) Script(script func(r *http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.requests = script, 0
}

// Next has the faults befall the next requests of the method, in order; after them everything passes.
func (p *Proxy) Next(method string, faults ...Fault) {
	p.Script(func(r *http.Request) Fault {
		if r.Method != method || len(faults) == 0 {
			return Fault{}
		}
		f := faults[0]
		faults = faults[1:]
		return f
	})
}

// Requests counts the requests since the script was set.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// Busy counts the requests that are not over. What a client that is gone had sent whole is still done.
func (p *Proxy) Busy() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

func (p *Proxy) over() {
	p.mu.Lock()
	p.busy--
	p.mu.Unlock()
}

func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	p.busy++
	if p.script == nil {
		return Fault{}
	}
	return p.script(r)
}

func (p *Proxy) serve(forward http.Handler, w http.ResponseWriter, r *http.Request) {
	f := p.fault(r)
	defer p.over()
	then := f.Then
	if then == nil {
		then = func() {}
	}
	if f.Wait != nil {
		<-f.Wait
	}
	left := r.Context().Done()
	if r.Method == http.MethodPut {
		whole, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		r = r.WithContext(whole)
	}
	if f.Rate > 0 {
		r.Body = &slowBody{ReadCloser: r.Body, rate: f.Rate}
		w = slowAnswer{w, f.Rate}
	}
	switch {
	case f.Status != 0:
		then()
		answer(w, r, f)
	case f.Drop:
		then()
		panic(http.ErrAbortHandler)
	case f.Stall:
		_, _ = io.Copy(io.Discard, r.Body) // only after the body does the server notice that the client left
		then()
		<-left
		panic(http.ErrAbortHandler)
	case f.CutUpload > 0:
		r.Body = &cutBody{ReadCloser: r.Body, left: f.CutUpload}
		unheard(forward, r)
		then()
		panic(http.ErrAbortHandler)
	case f.LoseAnswer:
		unheard(forward, r)
		then()
		panic(http.ErrAbortHandler)
	case f.Cut > 0, f.CutStall > 0:
		r.Header.Set("X-Cut", strconv.FormatInt(max(f.Cut, f.CutStall), 10))
		r.Header.Set("X-Stall", strconv.FormatBool(f.CutStall > 0))
		defer then()
		forward.ServeHTTP(w, r)
	default:
		forward.ServeHTTP(w, r)
		_ = http.NewResponseController(w).Flush() // the client has it before Then
		then()
	}
}

// unheard has the server do a request whose answer nobody gets.
func unheard(forward http.Handler, r *http.Request) {
	defer func() {
		if failed := recover(); failed != nil && failed != http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is
			panic(failed)
		}
	}()
	forward.ServeHTTP(httptest.NewRecorder(), r)
}

// slowBody lets bytes through at a rate; so does slowAnswer.
type slowBody struct {
	io.ReadCloser
	rate int64
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), max(b.rate/slices, 1))])
	take(n, b.rate)
	return n, err
}

type slowAnswer struct {
	http.ResponseWriter
	rate int64
}

func (a slowAnswer) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		var n int
		n, err = a.ResponseWriter.Write(p[:min(int64(len(p)), max(a.rate/slices, 1))])
		take(n, a.rate)
		written, p = written+n, p[n:]
	}
	return written, err
}

func (a slowAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

const slices = 20 // of a second's bytes

func take(bytes int, rate int64) {
	<-time.After(time.Duration(bytes) * time.Second / time.Duration(rate)) // what it is there for: a slow link
}

func answer(w http.ResponseWriter, r *http.Request, f Fault) {
	var page bytes.Buffer
	if f.Page != "" {
		page.WriteString(f.Page)
	} else if f.Code == "" {
		w.Header().Set("Content-Type", "text/html")
		page.WriteString("<html><body>an answer of something that is not S3</body></html>")
	} else {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(&page, `<?xml version="1.0"?><Error><Code>%s</Code><Message>injected</Message></Error>`, f.Code)
	}
	w.WriteHeader(f.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(page.Bytes())
	}
}

// spoil ends the body of an answer early when the request was marked so.
func spoil(resp *http.Response) error {
	n, err := strconv.ParseInt(resp.Request.Header.Get("X-Cut"), 10, 64)
	if err != nil {
		return nil //nolint:nilerr // not marked
	}
	b := &cutBody{ReadCloser: resp.Body, left: n}
	if resp.Request.Header.Get("X-Stall") == "true" {
		b.wait = resp.Request.Context().Done()
	}
	resp.Body = b
	return nil
}

type cutBody struct {
	io.ReadCloser
	left int64
	wait <-chan struct{} // nil: the cut is a reset
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left == 0 {
		if c.wait != nil {
			<-c.wait
		}
		return 0, errors.New("cut")
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
