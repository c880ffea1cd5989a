package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tandem/internal/stream"
)

const (
	// mm2Leaves is how long a start waits for MirrorMaker 2 to be gone: a killed one stays a member of its group until its
	// session times out (session.timeout.ms of the worker, 10 s by default).
	mm2Leaves = 15 * time.Second
	mm2Asked  = 500 * time.Millisecond // between two looks
)

// alone refuses to replicate beside a running MirrorMaker 2: both would write every record to the same remote topics. MM2's
// workers are members of a group of the target that carries the flow's name.
func (f *flow) alone(ctx context.Context) error {
	group := f.conf.Source + "-mm2"
	told := false
	for deadline := time.Now().Add(mm2Leaves); ; {
		var members []string
		err := f.persist(ctx, "ask "+f.conf.Target+" whether MirrorMaker 2 runs", func(ctx context.Context) (err error) {
			members, err = f.clients.target.GroupMembers(ctx, group)
			return err
		})
		if err != nil {
			return err
		}
		if len(members) == 0 {
			return nil
		}
		who := fmt.Sprintf("group %s of %s has members (%s)", group, f.conf.Target, strings.Join(members, ", "))
		if time.Now().After(deadline) {
			return cannotRun{fmt.Errorf("flow %s: MirrorMaker 2 is running: %s, and both would write every record; stop MirrorMaker 2, then start mirror again", f.conf.Flow, who)}
		}
		if !told {
			told = true
			f.tell(stream.Warn, fmt.Sprintf("MirrorMaker 2 runs, or was killed just now: %s; waiting up to %s for it to leave", who, mm2Leaves))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(mm2Asked):
		}
	}
}
