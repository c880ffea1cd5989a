package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	siteLost   = "source and mirror killed"
	sourceLost = "source killed"

	settleLoad = 2 * time.Second // of the steady load before anything is killed
)

// loseSites kills the source and both mirrors at once, at a random moment: what is neither on the target nor in the archive is gone.
func (r *recovering) loseSites(ctx context.Context, _ flags) error {
	both := []*mirrored{r.long, r.short}
	for range r.runs {
		for _, m := range both {
			if _, err := m.start(ctx); err != nil {
				return err
			}
		}
		for _, m := range both {
			if err := r.caughtUp(ctx, m); err != nil {
				return err
			}
		}
		if err := r.loseSite(ctx, both); err != nil {
			return err
		}
		if err := r.restartSource(); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovering) loseSite(ctx context.Context, flows []*mirrored) error {
	producing, err := r.startLoad()
	if err != nil {
		return err
	}
	defer producing.abandon()
	if err := rest(ctx, settleLoad+rand.N(longFlush)); err != nil {
		return err
	}
	for _, m := range flows {
		if err := r.noteRPO(siteLost, m); err != nil {
			return err
		}
	}
	moment := time.Now()
	var wg sync.WaitGroup
	for _, m := range flows {
		wg.Go(m.kill)
	}
	wg.Go(func() { r.a.kafka.Kill(0) })
	wg.Wait()
	producing.abandon()
	for i, m := range flows {
		if err := r.noteLoss(ctx, siteLost, m, moment); err != nil {
			return err
		}
		next, err := m.archived(ctx, loadTopic)
		if err != nil {
			return err
		}
		gone := r.ledger.lost(next[:], moment)
		of := fmt.Sprintf("archive.flush.interval.ms=%d", []time.Duration{longFlush, shortFlush}[i].Milliseconds())
		r.note(siteLost, "acknowledged, not durable in the archive", of, "records", float64(gone.records))
		r.note(siteLost, "seconds of data that is not durable", of, "s", gone.seconds)
	}
	return nil
}

// noteRPO keeps what the mirror says that would be lost.
func (r *recovering) noteRPO(section string, m *mirrored) error {
	for _, of := range []struct{ metric, unit string }{{"tandem_rpo_records", "records"}, {"tandem_rpo_seconds", "s"}} {
		said, err := m.running[0].metric(of.metric)
		if err != nil {
			return err
		}
		r.note(section, "metric "+of.metric+" just before", "", of.unit, said)
	}
	return nil
}

// noteLoss counts what was acknowledged and is not on the target.
func (r *recovering) noteLoss(ctx context.Context, section string, m *mirrored, moment time.Time) error {
	here, err := r.settled(ctx, m)
	if err != nil {
		return err
	}
	gone := r.ledger.lost(here, moment)
	r.note(section, "acknowledged to producers, not on the target", "", "records", float64(gone.records))
	r.note(section, "seconds of data that is not on the target", "", "s", gone.seconds)
	return nil
}

// settled is where the copies end once nothing more comes.
func (r *recovering) settled(ctx context.Context, m *mirrored) (ends []int64, err error) {
	const still = 500 * time.Millisecond
	since := time.Now()
	err = until(ctx, "the target to be still", func() error {
		now, err := r.b.ends(ctx, m.remote(), partitions)
		if err != nil {
			return err
		}
		if !slices.Equal(now, ends) {
			ends, since = now, time.Now()
		}
		if time.Since(since) < still {
			return errors.New("records still come")
		}
		return nil
	})
	return ends, err
}
