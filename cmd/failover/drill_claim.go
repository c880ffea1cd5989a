package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"tandem/internal/drill"
	"tandem/internal/stream"
)

const (
	beatEvery = 2 * time.Second
	silence   = 10 * time.Second // of a claim, until its drill counts as dead
)

// claims reads the claims that stand in the topic, by id, each with its offset.
type claims struct {
	next  int64
	now   map[string]drill.Claim
	stood map[string]int64
}

func (c *claims) read(ctx context.Context, r *rehearsal) (err error) {
	if c.now == nil {
		c.now, c.stood = make(map[string]drill.Claim), make(map[string]int64)
	}
	c.next, err = r.toAdmin.ReadFrom(ctx, stream.TandemTopic(r.from), 0, c.next, false, func(rec stream.Record) error {
		claim, _ := drill.LoadClaim(rec) // a newer one is of a newer program, which can see ours
		switch {
		case claim.ID == "":
		case rec.Value == nil:
			delete(c.now, claim.ID)
		default:
			c.now[claim.ID], c.stood[claim.ID] = claim, rec.Offset
		}
		return nil
	})
	if err != nil {
		return r.look.away(r.to, err)
	}
	return nil
}

// claim makes sure that no other drill of the flow is going on, and keeps others away until release. Of two that begin at once the one goes
// on whose claim is first in the log.
func (r *rehearsal) claim(ctx context.Context) (release func(), err error) {
	var all claims
	if err := all.read(ctx, r); err != nil {
		return nil, err
	}
	dead := make(map[string]drill.Claim)
	if len(all.now) > 0 {
		r.line.Show("see whether another drill is going on ...")
		maps.Copy(dead, all.now)
		for deadline := time.Now().Add(silence); time.Now().Before(deadline) && len(dead) > 0; {
			pause(ctx, time.Second)
			if err := all.read(ctx, r); err != nil {
				return nil, err
			}
			for id, before := range dead {
				if now, there := all.now[id]; !there {
					delete(dead, id)
				} else if now.Beat != before.Beat {
					return nil, r.busy(now)
				}
			}
		}
	}
	mine := drill.Claim{ID: r.run, By: operator(), Since: time.Now().UTC().Truncate(time.Second)}
	out := &notes{admin: r.toAdmin, flow: r.flow}
	write := func(ctx context.Context) error {
		key, value := mine.Record()
		return out.Write(ctx, []stream.Record{{Key: key, Value: value}})
	}
	takeBack := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWait)
		defer cancel()
		key, _ := mine.Record()
		_ = out.Write(ctx, []stream.Record{{Key: key}}) // its silence tells as well
	}
	if err := write(ctx); err != nil {
		return nil, fmt.Errorf("note the drill: %w", r.look.away(r.to, err))
	}
	if err := all.read(ctx, r); err != nil {
		takeBack()
		return nil, err
	}
	for id, other := range all.now {
		if _, known := dead[id]; id != mine.ID && !known && (other.Beat > 0 || all.stood[id] < all.stood[mine.ID]) {
			takeBack()
			return nil, r.busy(other)
		}
	}
	for _, d := range dead {
		key, _ := d.Record()
		if err := out.Write(ctx, []stream.Record{{Key: key}}); err != nil {
			takeBack()
			return nil, r.look.away(r.to, err)
		}
	}
	return r.beat(ctx, &mine, write, takeBack), nil
}

func (r *rehearsal) busy(other drill.Claim) error {
	return fmt.Errorf("a drill of %s by %s is going on since %s (%s): wait until it has ended", r.flow.Flow, other.By, other.Since.UTC().Format(time.RFC3339), other.ID)
}

// beat writes the claim again and again until release, which takes it back.
func (r *rehearsal) beat(ctx context.Context, mine *drill.Claim, write func(context.Context) error, takeBack func()) (release func()) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			mine.Beat++
			_ = write(ctx) // the next one may succeed; silence has us taken for dead
			if pause(ctx, beatEvery); ctx.Err() != nil {
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		stop()
		<-done
		takeBack()
	})
}
