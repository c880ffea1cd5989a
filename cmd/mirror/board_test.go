package main

import (
	"context"
	"testing"

	"tandem/internal/config"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// TestBoardOfASilentPipe: a flow that does not tell where it stands is not ready, although nothing is known to stand still.
func TestBoardOfASilentPipe(t *testing.T) {
	f := stream.Flow{Source: "east", Target: "west"}
	budget := replicate.NewBudget(1 << 20)
	b := newProcess(&config.Config{Flows: []config.Flow{{Flow: f, Enabled: true}}}, func(stream.Event) {}, nil).board
	if r := b.Report(t.Context()); r.Ready || r.Waiting != "flow east->west has not started" || len(r.Problems) != 1 {
		t.Errorf("before the start: ready %v, waiting for %q, problems %v", r.Ready, r.Waiting, r.Problems)
	}
	b.show(f, replicate.New(replicate.Config{Flow: f, Budget: budget}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody runs the pipe
	r := b.Report(ctx)
	if r.Ready || r.Waiting != "flow east->west does not answer" || len(r.Problems) != 1 || r.Problems[0].Alert != alertNotRunning {
		t.Errorf("ready %v, waiting for %q, problems %v", r.Ready, r.Waiting, r.Problems)
	}
	if s := b.snapshot(); s.Ready || len(s.Flows) != 1 || s.Flows[0].Up {
		t.Errorf("metrics say %+v", s)
	}
}
