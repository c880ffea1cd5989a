package status

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report asks the source, and makes every list one that a reader can go through: none is null, and none has no end.
func (s *Server) report() Report {
	return s.reported.get(func(ctx context.Context) Report {
		r := s.source.Report(ctx)
		r.Problems, r.Flows, r.Archives = orNone(r.Problems), orNone(slices.Clone(r.Flows)), orNone(r.Archives)
		r.Drills, r.Certificates = orNone(r.Drills), orNone(r.Certificates)
		for i := range r.Flows {
			f := &r.Flows[i]
			f.Stands = len(f.Standing)
			f.Standing = orNone(f.Standing[:min(len(f.Standing), listedMax)])
			f.Members = orNone(f.Members)
			if f.Partitions == nil {
				f.Partitions = map[string]int{}
			}
			if g := f.Groups; g != nil && len(g.Listed) > listedMax {
				shorter := *g
				shorter.Listed = g.Listed[:listedMax]
				f.Groups = &shorter
			}
		}
		return r
	})
}

func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n")) // a client that went away is no concern of ours
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready      bool        `json:"ready"`
	Waiting    string      `json:"waiting_for,omitempty"`
	Partitions int         `json:"partitions"`
	Stands     int         `json:"standing_still_total"`
	Standing   []Partition `json:"standing_still,omitzero"` // this and what follows only for who may know
	Archives   []archived  `json:"archives,omitempty"`
	Problems   []Problem   `json:"problems,omitzero"`
}

// archived is an Archive without what it holds.
type archived struct {
	Archive
	Restorable *Restorable `json:"restorable,omitempty"` // hides the other
}

func (s *Server) ready(w http.ResponseWriter, request *http.Request) {
	r := s.report()
	answer := readiness{Ready: r.Ready, Waiting: r.Waiting, Standing: []Partition{}, Problems: r.Problems}
	for _, f := range r.Flows {
		for _, n := range f.Partitions {
			answer.Partitions += n
		}
		answer.Stands += f.Stands
		answer.Standing = append(answer.Standing, f.Standing[:min(len(f.Standing), listedMax-len(answer.Standing))]...)
	}
	for _, a := range r.Archives {
		answer.Archives = append(answer.Archives, archived{Archive: a})
	}
	if s.guard.asks && !s.guard.holds(request) { // a probe wants the status; names are for those who have the token
		answer.Standing, answer.Problems, answer.Archives = nil, nil, nil
	}
	code := http.StatusOK
	if !answer.Ready {
		code = http.StatusServiceUnavailable
	}
	tell(w, code, answer)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) { tell(w, http.StatusOK, s.report()) }

func (s *Server) settings(w http.ResponseWriter, _ *http.Request) {
	tell(w, http.StatusOK, orNone(s.source.Settings()))
}

// over answers /api/history: the samples of one flow, or those after a moment, for who has the others.
func (s *Server) over(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "flow", "after")
	if err == nil && q.Get("flow") == "" {
		err = fmt.Errorf("flow is missing, as in ?flow=A-%%3EB")
	}
	var after time.Time
	if given := q.Get("after"); err == nil && given != "" {
		if after, err = time.Parse(time.RFC3339Nano, given); err != nil {
			err = fmt.Errorf("after must be a moment of an earlier answer: %w", err)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	tell(w, http.StatusOK, s.history.of(q.Get("flow"), after))
}

// partitionsPage is the answer of /api/partitions.
type partitionsPage struct {
	Total      int         `json:"total"` // that the filters leave
	All        int         `json:"all"`
	Offset     int         `json:"offset"`
	Partitions []Partition `json:"partitions"`
}

const (
	pageDefault = 50
	pageMax     = 1000
)

// partitions answers /api/partitions: those that the filters leave, the worst first.
func (s *Server) partitions(w http.ResponseWriter, r *http.Request) {
	q, err := query(r, "flow", "state", "topic", "limit", "offset")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	limit, err := number(q, "limit", pageDefault, 1, pageMax)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	offset, err := number(q, "offset", 0, 0, 1<<31-1)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	all := s.parted.get(func(ctx context.Context) []Partition {
		list := slices.Clone(s.source.Partitions(ctx))
		slices.SortStableFunc(list, worseFirst)
		return list
	})
	left := filtered(all, q.Get("flow"), q.Get("state"), q.Get("topic"))
	answer := partitionsPage{Total: len(left), All: len(all), Offset: offset, Partitions: []Partition{}}
	if offset < len(left) {
		answer.Partitions = left[offset:min(offset+limit, len(left))]
	}
	tell(w, http.StatusOK, answer)
}

// worseFirst puts those that stand still before those that move, then those with more to do before those with less. What moves and
// has nothing to do stays as the source has it.
func worseFirst(a, b Partition) int {
	if a.Ready != b.Ready {
		if b.Ready {
			return -1
		}
		return 1
	}
	switch {
	case a.Lag > b.Lag:
		return -1
	case a.Lag < b.Lag:
		return 1
	}
	return 0
}

// filtered leaves those of a flow, in a state, with a text in one of their names; an empty filter leaves all.
func filtered(all []Partition, flow, state, topic string) []Partition {
	if flow == "" && state == "" && topic == "" {
		return all
	}
	topic = strings.ToLower(topic)
	var left []Partition
	for _, p := range all {
		if (flow == "" || p.Flow == flow) && (state == "" || p.State == state || state == "standing still" && !p.Ready) &&
			(topic == "" || strings.Contains(strings.ToLower(p.Source), topic) || strings.Contains(strings.ToLower(p.Remote), topic)) {
			left = append(left, p)
		}
	}
	return left
}

// query reads the parameters of a request: one that is not known is a mistake that must not be answered as if it were not there.
func query(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("read query: %w", err)
	}
	for name := range q {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown parameter %q; known are %s", name, strings.Join(known, ", "))
		}
	}
	return q, nil
}

func number(q url.Values, name string, otherwise, least, most int) (int, error) {
	given := q.Get(name)
	if given == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s must be a number from %d to %d", name, least, most)
	}
	return n, nil
}

// tell answers in JSON.
func tell(w http.ResponseWriter, code int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // A->B reads better, and the content type keeps browsers from taking it for a page
	_ = encoder.Encode(answer)   // a client that went away is no concern of ours
}
