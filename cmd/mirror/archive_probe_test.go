package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/archive/store"
	"tandem/internal/config"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// flaky is a store that is there or not.
type flaky struct {
	store.Store
	err   error
	asked int
}

func (f *flaky) Stat(context.Context, string) (store.Info, error) {
	f.asked++
	return store.Info{}, f.err
}

func TestStoreProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing, away := &store.Error{Kind: store.NotFound}, errors.New("connection refused")
		s := &flaky{err: missing}
		p := &storeProbe{store: s, wanted: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go p.run(ctx)
		look := func() (time.Time, error) {
			p.want()
			return p.state(ctx)
		}
		if _, err := look(); err != nil || s.asked != 1 {
			t.Errorf("a store that has no such object: %v after %d questions", err, s.asked)
		}
		if _, err := look(); err != nil || s.asked != 1 {
			t.Errorf("asked again at once: %v, %d questions", err, s.asked)
		}

		s.err = away
		time.Sleep(time.Hour) //nolint:forbidigo // of synctest's clock
		if s.asked != 1 {
			t.Errorf("%d questions while nobody wanted to know", s.asked)
		}
		began := time.Now()
		since, err := look() // what was true an hour ago will not do
		if !errors.Is(err, away) || s.asked != 3 || since.Before(began) {
			t.Errorf("%v since %v, after %d questions", err, since, s.asked)
		}
		time.Sleep(3 * time.Second) //nolint:forbidigo // of synctest's clock
		_, _ = look()
		synctest.Wait()
		time.Sleep(time.Second) //nolint:forbidigo // of synctest's clock
		if again, _ := look(); !again.Equal(since) {
			t.Errorf("away since %v, and then since %v", since, again)
		}

		s.err = nil
		time.Sleep(time.Minute) //nolint:forbidigo // of synctest's clock
		if _, err := look(); err != nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

// hanging is a store that never answers.
type hanging struct{ store.Store }

func (hanging) Stat(ctx context.Context, _ string) (store.Info, error) {
	<-ctx.Done()
	return store.Info{}, ctx.Err()
}

// Stores that hang are waited for together, and not for so long that nothing is left of the time in which flows are to answer.
func TestManyStoresThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b := newBoard(&config.Config{}, replicate.NewBudget(1<<20), &exactMaps{})
		for _, target := range []string{"B", "C", "D"} {
			conf := config.Flow{Flow: stream.Flow{Source: "A", Target: target}}
			f := &flow{}
			f.settings.Store(&conf)
			a := &archiving{flow: f, alive: &storeProbe{store: hanging{}, wanted: make(chan struct{}, 1)}, looks: &lookout{}}
			a.looks.archiving = a
			go a.alive.run(ctx)
			b.flows = append(b.flows, f)
			b.archive(conf.Flow, a)
		}
		asked, give := context.WithTimeout(ctx, scrapeWait)
		defer give()
		if all := b.Archives(asked); len(all) != 3 || asked.Err() != nil {
			t.Errorf("%d archives, and the time is over: %v", len(all), asked.Err())
		}
		synctest.Wait()
	})
}
