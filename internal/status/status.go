package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Partition is where one partition stands, for /readyz.
type Partition struct {
	Flow   string    `json:"flow"`
	Source string    `json:"source"`
	Remote string    `json:"remote"`
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	Lag    int64     `json:"lag_records"`
	Ready  bool      `json:"-"`
}

// Archive is how the archive of a flow gets on. Readiness does not rest on it: see tandem_archive_up and tandem_archive_age_seconds.
type Archive struct {
	Flow   string  `json:"flow"`
	State  string  `json:"state"`             // waiting, archiving or failed
	Age    float64 `json:"age_seconds"`       // since when what is not durable has waited
	Behind int     `json:"behind_partitions"` // of which the source has more than the archive has taken
}

// Source tells where everything stands. It is called for each request and must not block for long.
type Source interface {
	// Partitions tells all partitions of all flows; false while some flow has not started yet, with the reason.
	Partitions(ctx context.Context) (all []Partition, started bool, waitingFor string)
	// Archives tells of all flows that archive.
	Archives() []Archive
}

// Server is the HTTP side of a process.
type Server struct {
	source   Source
	listener net.Listener
	handler  *http.ServeMux
}

// Listen takes the address; Run serves it.
func Listen(address string, source Source, metrics prometheus.Gatherer) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on status.address %s: %w", address, err)
	}
	s := &Server{source: source, listener: listener}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	s.handler = mux
	return s, nil
}

// Address is where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

const (
	headerWait   = 5 * time.Second
	answerWithin = 3 * time.Second
	shutdownWait = time.Second
)

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: headerWait}
	stop := context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
		defer cancel()
		_ = server.Shutdown(bounded) // what is still open then is cut
	})
	defer stop()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve status on %s: %w", s.Address(), err)
	}
	return nil
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n")) // a client that went away is no concern of ours
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready      bool        `json:"ready"`
	Waiting    string      `json:"waiting_for,omitempty"`
	Partitions int         `json:"partitions"`
	Standing   []Partition `json:"standing_still"`
	Archives   []Archive   `json:"archives,omitempty"`
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
	defer cancel()
	all, started, waiting := s.source.Partitions(ctx)
	answer := readiness{Ready: started, Waiting: waiting, Partitions: len(all), Standing: []Partition{}, Archives: s.source.Archives()}
	for _, p := range all {
		if !p.Ready {
			answer.Ready = false
			answer.Standing = append(answer.Standing, p)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // A->B reads better
	_ = encoder.Encode(answer)   // a client that went away is no concern of ours
}
