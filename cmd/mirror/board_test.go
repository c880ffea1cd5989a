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
	b := newBoard(&config.Config{Flows: []config.Flow{{Flow: f, Enabled: true}}}, budget, &exactMaps{})
	b.show(f, replicate.New(replicate.Config{Flow: f, Budget: budget}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody runs the pipe
	all, started, waitingFor := b.Partitions(ctx)
	if started || waitingFor != "flow east->west does not answer" || len(all) != 0 {
		t.Errorf("started %v, waiting for %q, %d partitions", started, waitingFor, len(all))
	}
}
