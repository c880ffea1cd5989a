package status

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Source tells where everything stands. It must not block beyond the context, and is never called twice at once for the same thing.
type Source interface {
	// Report tells everything but single partitions.
	Report(ctx context.Context) Report
	// Partitions tells all partitions of all flows that answer.
	Partitions(ctx context.Context) []Partition
	// Samples tells what is drawn over time, of each flow that answers. It is called every two seconds, page or no page.
	Samples(ctx context.Context) []Sample
	// Settings tells what is in effect; secrets are hidden.
	Settings() []Setting
}

// Options are what a Server may be told.
type Options struct {
	Token string // that /metrics and /api/ ask for; empty: none
}

// Server is the HTTP side of a process.
type Server struct {
	source   Source
	listener net.Listener
	mux      *http.ServeMux
	guard    guard
	history  history
	busy     chan struct{} // a place for each answer being made

	reported moment[Report]
	parted   moment[[]Partition]
}

const (
	headerWait   = 5 * time.Second
	readWithin   = 10 * time.Second
	answerWithin = 3 * time.Second  // what a flow may take to tell where it stands
	writeWithin  = 20 * time.Second // an answer to a slow client; a reload takes as long as it takes
	idleFor      = 2 * time.Minute
	shutdownWait = time.Second
	headersMax   = 16 << 10
	answersMax   = 64 // at once

	listedMax = 200 // partitions that stand still, in one answer
)

// Listen takes the address; Run serves it.
func Listen(address string, options Options, source Source, metrics prometheus.Gatherer) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on status.address %s: %w", address, err)
	}
	s := &Server{
		source: source, listener: listener, mux: http.NewServeMux(), guard: newGuard(address, listener.Addr(), options.Token),
		busy: make(chan struct{}, answersMax),
	}
	s.mux.HandleFunc("GET /healthz", s.health)
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	s.mux.HandleFunc("GET /api/status", s.status)
	s.mux.HandleFunc("GET /api/history", s.over)
	s.mux.HandleFunc("GET /api/partitions", s.partitions)
	s.mux.HandleFunc("GET /api/settings", s.settings)
	s.mux.HandleFunc("GET /{$}", page("index.html"))
	s.mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) { page(r.PathValue("name"))(w, r) })
	return s, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Handle answers a pattern of net/http's ServeMux, before Run. Below /api/ it is guarded as everything there.
func (s *Server) Handle(pattern string, answer http.Handler) { s.mux.Handle(pattern, answer) }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler: s.limited(s.guard.around(s.mux)), ReadHeaderTimeout: headerWait, ReadTimeout: readWithin, IdleTimeout: idleFor, MaxHeaderBytes: headersMax,
	}
	stop := context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
		defer cancel()
		_ = server.Shutdown(bounded) // what is still open then is cut
	})
	defer stop()
	sampling, end := context.WithCancel(ctx)
	var sampler sync.WaitGroup
	sampler.Go(func() { s.sample(sampling) })
	defer sampler.Wait()
	defer end()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve status on %s: %w", s.Address(), err)
	}
	return nil
}

// limited bounds how many answers are made at once, and how long a client may take to read one. Whether the process lives is always told.
func (s *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin)) // that it cannot be set is no harm
		}
		if r.URL.Path == "/healthz" {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, fmt.Sprintf("%d other requests are being answered; try again", answersMax), http.StatusServiceUnavailable)
		}
	})
}

// freshFor is for how long an answer of the source serves others who ask.
const freshFor = 500 * time.Millisecond

// moment is what the source said a moment ago: many pages that look at once cost as much as one.
type moment[T any] struct {
	mu   sync.Mutex // held while the source is asked
	at   time.Time
	said T
}

// get asks anew where what was said is not fresh.
func (m *moment[T]) get(ask func(ctx context.Context) T) T {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() || time.Since(m.at) > freshFor {
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin) // not the asker's: others wait for it too
		defer cancel()
		m.said = ask(ctx)
		m.at = time.Now()
	}
	return m.said
}
