package archive

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// story tells the events of the kinds in the store, in their order, without ids.
func (w *world) story(kinds ...bundle.Kind) (all []bundle.Body) {
	_, footers := w.shelf.read(w.t)
	for _, f := range footers {
		for _, e := range f.Events {
			if !slices.Contains(kinds, e.Kind()) {
				continue
			}
			switch b := e.Body.(type) {
			case bundle.TopicCreated:
				b.Topic.ID = stream.TopicID{}
				all = append(all, b)
			case bundle.TopicWidened:
				b.Topic.ID = stream.TopicID{}
				all = append(all, b)
			case bundle.TopicRecreated:
				b.Old.ID, b.New.ID = stream.TopicID{}, stream.TopicID{}
				all = append(all, b)
			}
		}
	}
	return all
}

func TestTopicsAreTold(t *testing.T) {
	told := []bundle.Kind{bundle.KindTopicCreated, bundle.KindTopicWidened, bundle.KindTopicRecreated}
	bubble(t, "found, new, wider, and not again after a start", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		w.src.create("later", 1)
		looked := time.Now()
		p.Assign(w.src.assigned())
		pass(time.Minute)
		w.src.do(stream.Partition{Topic: "later"}, func(*simLog) { w.src.topics["later"].parts = append(w.src.topics["later"].parts, newLog()) })
		p.Assign(w.src.assigned())
		pass(time.Minute)
		p.kill(t)
		w.src.do(carts, func(*simLog) { w.src.topics["carts"].parts = append(w.src.topics["carts"].parts, newLog(), newLog()) })
		p = boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		p.Assign(w.src.assigned())
		pass(time.Minute)
		w.src.create("carts", 1)
		p.Assign(w.src.assigned())
		pass(time.Minute)
		w.finish(p)
		want := []bundle.Body{
			bundle.TopicCreated{Topic: bundle.Topic{Name: "carts"}, Partitions: 1, Factor: -1, Found: true},
			bundle.TopicCreated{Topic: bundle.Topic{Name: "orders"}, Partitions: 3, Factor: -1, Found: true},
			bundle.TopicCreated{Topic: bundle.Topic{Name: "later"}, Partitions: 1, Factor: -1},
			bundle.TopicWidened{Topic: bundle.Topic{Name: "later"}, From: 1, To: 2},
			bundle.TopicWidened{Topic: bundle.Topic{Name: "carts"}, From: 1, To: 3},
			bundle.TopicRecreated{Old: bundle.Topic{Name: "carts"}, New: bundle.Topic{Name: "carts", Incarnation: 1}, Partitions: 1, Factor: -1},
		}
		if got := w.story(told...); !slices.Equal(got, want) {
			t.Errorf("got\n%v\nwant\n%v", got, want)
		}
		_, footers := w.shelf.read(t)
		for _, f := range footers {
			for _, e := range f.Events {
				if c, ok := e.Body.(bundle.TopicCreated); ok && c.Topic.Name == "later" && !e.At.Before(looked) {
					t.Errorf("a topic that was not there at one look and is at the next is said to be there since %s, the second look was at %s", e.At, looked)
				}
			}
		}
	})
	bubble(t, "lives are known when the archive has begun with them", func(t *testing.T, w *world) {
		w.shelf.setAway(true)
		id := w.src.topics["carts"].id
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		if _, ok := p.Life("carts", id); ok {
			t.Error("a life is known, and the store is away")
		}
		if _, ok := p.Lives(); ok {
			t.Error("lives are known, and the store is away")
		}
		w.shelf.setAway(false)
		pass(2 * time.Minute)
		if life, ok := p.Life("carts", id); !ok || life != (bundle.Topic{Name: "carts", ID: id}) {
			t.Errorf("life %v, %v", life, ok)
		}
		if _, ok := p.Life("carts", stream.TopicID{9}); ok {
			t.Error("the life of another id is known")
		}
		if lives, ok := p.Lives(); !ok || len(lives) != 2 {
			t.Errorf("lives %v, %v", lives, ok)
		}
		w.finish(p)
	})
}

func TestReplicationWaits(t *testing.T) {
	bubble(t, "until the store has told where partitions go on", func(t *testing.T, w *world) {
		w.cfg.Pause = true
		w.shelf.setAway(true)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		if !p.Behind() {
			t.Error("replication goes on, and nothing is known of the archive")
		}
		w.shelf.setAway(false)
		pass(2 * time.Minute)
		if p.Behind() {
			t.Error("replication waits")
		}
		w.shelf.setAway(true)
		w.src.create("later", 1)
		p.Assign(w.src.assigned())
		pass(time.Minute)
		if !p.Behind() {
			t.Error("replication goes on with a topic of which nothing is known")
		}
		w.shelf.setAway(false)
		pass(2 * time.Minute)
		p.Assign(nil)
		synctest.Wait()
		if p.Behind() {
			t.Error("replication waits for nothing")
		}
		w.finish(p)
	})
}

func TestStanding(t *testing.T) {
	bubble(t, "the age of what is not durable", func(t *testing.T, w *world) {
		began := time.Now()
		w.shelf.setAway(true)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		if s, running := p.Standing(); running || !s.Oldest.Equal(began) || s.Errors[0]+s.Errors[9] == 0 {
			t.Errorf("before it has begun: %+v, %v", s, running)
		}
		w.shelf.setAway(false)
		pass(5 * time.Minute)
		quiet, running := p.Standing()
		if !running || !quiet.Oldest.IsZero() || quiet.Bundles == 0 || quiet.Bytes == 0 || quiet.Behind != 0 || quiet.Memory != 0 {
			t.Errorf("with nothing to do: %+v, %v", quiet, running)
		}
		w.add(1, 100)
		offered := time.Now()
		w.mirror.fetch(p.Offer, 1<<20)
		pass(time.Second)
		if s, _ := p.Standing(); !s.Oldest.Equal(offered) || s.Memory == 0 {
			t.Errorf("with an offer: %+v", s)
		}
		w.shelf.setAway(true)
		pass(time.Minute)
		if s, _ := p.Standing(); !s.Oldest.Equal(offered) {
			t.Errorf("on its way, and the store is away: %+v", s)
		}
		w.shelf.setAway(false)
		pass(5 * time.Minute)
		if s, _ := p.Standing(); !s.Oldest.IsZero() || s.Bundles != quiet.Bundles+1 {
			t.Errorf("stored: %+v", s)
		}
		w.add(100, 4000) // more than there is memory
		w.shelf.setAway(true)
		for range 100 {
			w.mirror.fetch(p.Offer, 10_000)
		}
		pass(time.Minute)
		if s, _ := p.Standing(); s.Behind != 1 {
			t.Errorf("what was offered is not taken: %+v", s)
		}
		w.shelf.setAway(false)
		pass(20 * time.Minute)
		if s, _ := p.Standing(); s.Behind != 0 || !s.Oldest.IsZero() || s.Gaps != 0 {
			t.Errorf("it has caught up: %+v", s)
		}
		w.finish(p)
	})
	bubble(t, "a source that does not answer may have got anything since", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(5 * time.Minute)
		if s, _ := p.Standing(); time.Since(s.Heard) > 2*mostGlance || !s.Oldest.IsZero() {
			t.Errorf("it was heard %v ago: %+v", time.Since(s.Heard), s)
		}
		gone := time.Now()
		w.src.answers(errors.New("nobody answers"))
		pass(5 * time.Minute)
		if s, _ := p.Standing(); s.Heard.After(gone) || !s.Oldest.Equal(s.Heard) {
			t.Errorf("it was away for five minutes: %+v", s)
		}
		w.src.answers(nil)
		pass(5 * time.Minute)
		if s, _ := p.Standing(); time.Since(s.Heard) > 2*mostGlance || !s.Oldest.IsZero() {
			t.Errorf("it is back: heard %v ago: %+v", time.Since(s.Heard), s)
		}
		w.finish(p)
	})
	bubble(t, "replication that comes from behind tells nothing of the end", func(t *testing.T, w *world) {
		w.cfg.Offers = true
		w.add(100, 100)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(10 * time.Minute) // the archive has read them by itself
		for range 60 {
			w.mirror.fetch(p.Offer, 1)
			pass(time.Second)
		}
		if s, _ := p.Standing(); time.Since(s.Heard) > 2*mostGlance {
			t.Errorf("heard %v ago", time.Since(s.Heard))
		}
		w.finish(p)
	})
}

// A topic that was deleted is forgotten after a while: footers do not grow by what is gone, and a start does not tell of it again.
func TestDeletedTopicsAreForgotten(t *testing.T) {
	kept := func(w *world) (n int) {
		_, footers := w.shelf.read(w.t)
		for _, p := range footers[len(footers)-1].Positions {
			if p.Topic.Name == "carts" {
				n++
			}
		}
		return n
	}
	deleted := func(w *world, p *process) bundle.Topic {
		pass(time.Minute)
		life, ok := p.Life("carts", w.src.topics["carts"].id)
		if !ok {
			w.t.Fatal("nothing is known of carts")
		}
		w.src.do(carts, func(*simLog) { delete(w.src.topics, "carts") })
		p.Assign(w.src.assigned())
		pass(time.Minute)
		p.Event(time.Now(), bundle.TopicDeleted{Topic: life})
		pass(time.Minute)
		if kept(w) != 1 {
			w.t.Errorf("%d positions are kept right after it was told", kept(w))
		}
		return life
	}
	orders := stream.Partition{Topic: "orders"}
	bubble(t, "and made anew after a start", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		w.add(5, 10)
		old := deleted(w, p)
		pass(forgetAfter)
		w.src.append(orders, 1, 0, 10)
		pass(time.Minute)
		if kept(w) != 0 {
			t.Errorf("%d positions are kept", kept(w))
		}
		p.kill(t)
		p = boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		if lives, ok := p.Lives(); !ok || len(lives) != 1 {
			t.Errorf("lives after a start: %v", lives)
		}
		w.src.create("carts", 1)
		w.add(7, 10)
		p.Assign(w.src.assigned())
		pass(time.Minute)
		if now, ok := p.Life("carts", stream.TopicID{}); !ok || now.ID == old.ID {
			t.Errorf("made anew: %v, before %v", now, old)
		}
		if kept(w) != 1 {
			t.Errorf("made anew: %d positions", kept(w))
		}
		pass(2 * forgetAfter)
		w.finish(p)
	})
	bubble(t, "and made anew while it runs: the next incarnation", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		w.add(5, 10)
		deleted(w, p)
		pass(forgetAfter)
		w.src.append(orders, 1, 0, 10)
		pass(time.Minute)
		w.src.create("carts", 1)
		w.add(7, 10)
		p.Assign(w.src.assigned())
		pass(2 * forgetAfter)
		if now, _ := p.Life("carts", stream.TopicID{}); now.Incarnation != 1 || kept(w) != 1 {
			t.Errorf("made anew: %v, %d positions", now, kept(w))
		}
		w.finish(p)
	})
	bubble(t, "but not if it was only hidden", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		w.add(5, 10)
		topic := w.src.topics["carts"]
		deleted(w, p)
		w.src.do(stream.Partition{Topic: "orders"}, func(*simLog) { w.src.topics["carts"] = topic })
		p.Assign(w.src.assigned())
		pass(2 * forgetAfter)
		w.add(5, 10)
		pass(time.Minute)
		if kept(w) != 1 {
			t.Errorf("%d positions are kept", kept(w))
		}
		w.finish(p)
	})
}
