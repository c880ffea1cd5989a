package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

var carts = stream.Partition{Topic: "carts"}

func position(topic string, v [3]int64) bundle.Position {
	return bundle.Position{
		Topic: bundle.Topic{Name: topic, Incarnation: int32(v[0])}, LeaderEpoch: int32(v[1]), Next: stream.Upstream(v[2]),
	}
}

// bubble runs a story in its own time.
func bubble(t *testing.T, name string, story func(*testing.T, *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { story(t, newWorld(t, 1)) }) })
}

// add appends records to carts/0, each a batch of about so many bytes.
func (w *world) add(records, size int) {
	for range records {
		w.src.append(carts, 1, 0, size)
	}
}

func (w *world) finish(p *process) {
	w.t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		w.t.Fatal(err)
	}
	w.check()
}

func TestArchiver(t *testing.T) {
	bubble(t, "what waits is written when Run is told to end", func(_ *testing.T, w *world) {
		w.cfg.FlushInterval = time.Hour
		p := boot(w.t, w.cfg, w.src, w.shelf)
		w.add(5, 10)
		pass(10 * time.Second) // the first look at where partitions end may have come before them
		w.finish(p)
	})
	bubble(t, "without offers it reads by itself, and goes on with them where it meets them", func(t *testing.T, w *world) {
		w.add(200, 1000)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		w.mirror.fetch(p.Offer, 1<<20)
		pass(time.Second / 2) // where the offer ends as the archive does it looks whether there is more, and again a second later
		before := w.src.count()
		for range 20 {
			w.add(1, 100)
			w.mirror.fetch(func(o Piece) bool {
				if !p.Offer(o) {
					t.Errorf("offer of %d to %d declined", o.From, o.Next)
				}
				return true
			}, 1<<20)
		}
		if reads := w.src.count() - before; reads > 20*4 {
			t.Errorf("%d reads, and all was offered", reads)
		}
		w.finish(p)
	})
	bubble(t, "the history that replication is about to read is read once", func(t *testing.T, w *world) {
		w.cfg.Offers = true
		w.add(400, 1000)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(3 * time.Second)
		before := w.src.count()
		for range 60 {
			w.mirror.fetch(func(o Piece) bool {
				if !p.Offer(o) {
					t.Errorf("offer of %d to %d declined", o.From, o.Next)
				}
				return true
			}, 8<<10)
			pass(2 * time.Second)
		}
		if own := w.src.count() - before - 4*60; own > 30 { // at empty partitions it looks by itself now and then
			t.Errorf("%d reads beside those of replication", own)
		}
		w.finish(p)
	})
	bubble(t, "where memory was short it reads what it missed, and no further: the offers come there", func(t *testing.T, w *world) {
		w.cfg.Offers = true
		w.add(800, 1000)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(3 * time.Second)
		declined := 0
		for n := range 100 {
			w.shelf.setAway(n >= 10 && n < 20)
			w.mirror.fetch(func(o Piece) bool {
				if !p.Offer(o) {
					if declined++; n >= 50 {
						t.Errorf("round %d: offer of %d to %d declined", n, o.From, o.Next)
					}
				}
				return true
			}, 8<<10)
			pass(2 * time.Second)
		}
		if declined == 0 {
			t.Error("memory was never short")
		}
		pass(time.Minute)
		w.finish(p)
	})
	bubble(t, "an archive that is ahead of replication does not wait for it for long", func(t *testing.T, w *world) {
		w.cfg.Offers = true
		w.add(100, 1000)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute) // no offers: it has read all
		w.add(100, 1000)
		for range 60 { // replication is slow, and far behind
			w.mirror.fetch(p.Offer, 1<<10)
			pass(time.Second)
		}
		all, _ := w.shelf.read(t)
		if has := all[part{w.src.assigned()[carts].ID, 0}].reaches(0); has != 200 {
			t.Errorf("archived up to %d of 200", has)
		}
		w.finish(p)
	})
	bubble(t, "a partition that was silent for an hour is archived as soon as one that never is", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		for range 5 {
			pass(time.Hour)
			before := w.src.count()
			w.add(3, 10)
			pass(5 * time.Second) // a glance each second, and the interval
			all, _ := w.shelf.read(t)
			if has, want := all[part{w.src.assigned()[carts].ID, 0}].reaches(0), w.src.end(carts); has != want {
				t.Errorf("archived up to %d of %d", has, want)
			}
			if reads := w.src.count() - before; reads > 10 {
				t.Errorf("%d reads", reads)
			}
		}
		w.finish(p)
	})
	bubble(t, "a bundle that is removed between the listing and the reading holds nothing up", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		for range 5 {
			w.add(5, 100)
			pass(5 * time.Second)
		}
		p.kill(t)
		w.shelf.goes = slices.Max(slices.Collect(maps.Keys(w.shelf.objects)))
		p = boot(t, w.cfg, w.src, w.shelf)
		w.add(5, 100)
		pass(time.Minute)
		if _, there := w.shelf.objects[w.shelf.goes]; there {
			t.Error("it was not asked for")
		}
		w.finish(p)
	})
	bubble(t, "the store is away: memory is bounded, replication waits only where it shall", func(t *testing.T, w *world) {
		w.cfg.Pause = true
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		w.shelf.setAway(true)
		for range 300 {
			w.add(1, 1000)
			w.mirror.fetch(p.Offer, 1<<20)
			pass(time.Second)
			p.mu.Lock()
			if p.used > w.cfg.Memory+2*p.page() {
				t.Errorf("%d bytes are in use, of %d", p.used, w.cfg.Memory)
			}
			p.mu.Unlock()
		}
		if !p.Behind() {
			t.Error("it is not behind")
		}
		p.mu.Lock()
		p.cfg.Pause = false
		p.mu.Unlock()
		if p.Behind() {
			t.Error("replication waits, and was to go on")
		}
		w.shelf.setAway(false)
		pass(10 * time.Minute)
		w.finish(p)
	})
	bubble(t, "another object of that name ends it, and is named", func(t *testing.T, w *world) {
		w.add(1, 1)
		w.shelf.setAway(true)
		p := boot(t, w.cfg, w.src, w.shelf)
		synctest.Wait() // it cannot read the positions yet
		p.step = func(point string) error {
			if point == "built" {
				w.shelf.put(p.unsent.object.Name(), []byte("another"))
			}
			return nil
		}
		w.shelf.setAway(false)
		if err := <-p.ended; err == nil || !strings.Contains(err.Error(), "-w1-0000000000-0000000000.tdm") {
			t.Errorf("Run: %v", err)
		}
	})
	bubble(t, "a damaged bundle: what it held is read again", func(t *testing.T, w *world) {
		w.cfg.Durable = nil
		p := boot(t, w.cfg, w.src, w.shelf)
		for range 5 {
			w.add(3, 100)
			w.mirror.fetch(p.Offer, 1<<20)
			pass(5 * time.Second)
		}
		p.kill(t)
		newest := ""
		for name := range w.shelf.objects {
			newest = max(newest, name)
		}
		w.shelf.objects[newest] = w.shelf.objects[newest][:100]
		p = boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		delete(w.shelf.objects, newest)
		p.stop()
		if err := <-p.ended; err != nil {
			t.Fatal(err)
		}
		all, _ := w.shelf.read(t)
		if to := all[part{w.src.topics["carts"].id, 0}].reaches(0); to != 15 {
			t.Errorf("archived up to %d", to)
		}
	})
	bubble(t, "archive.from=now holds from the first moment on", func(t *testing.T, w *world) {
		w.cfg.FromNow = true
		w.add(10, 1)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute) // nothing comes
		p.kill(t)
		w.add(10, 1)
		p = boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		w.finish(p)
		all, _ := w.shelf.read(t)
		if k := all[part{w.src.topics["carts"].id, 0}]; k.covered[0].from != 10 || k.reaches(10) != 20 {
			t.Errorf("archived %v", k.covered)
		}
	})
	bubble(t, "a thousand partitions at a trickle make few objects", func(t *testing.T, w *world) {
		w.cfg = Config{Flow: flowAB, Writer: "w1", Compression: bundle.Zstd}
		w.src.create("wide", 1000)
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		before := w.shelf.count()
		for second := range 60 {
			for n := range 200 {
				w.src.append(stream.Partition{Topic: "wide", Number: int32((second*200 + n) % 1000)}, 1, 0, 10)
			}
			w.mirror.fetch(p.Offer, 1<<20)
			pass(time.Second)
		}
		if n := w.shelf.count() - before; n > 8 {
			t.Errorf("%d objects in a minute", n)
		}
		w.finish(p)
	})
	bubble(t, "events are kept, and declined when there is no room", func(t *testing.T, w *world) {
		p := boot(t, w.cfg, w.src, w.shelf)
		group := bundle.GroupOffsets{Group: "g", Whole: true}
		if !p.Event(time.Now(), group) {
			t.Error("declined")
		}
		if p.Event(time.Now(), bundle.Mark{Name: "m", Note: strings.Repeat("x", 1<<20)}) {
			t.Error("more than the memory was taken")
		}
		pass(time.Second)
		w.finish(p)
		_, footers := w.shelf.read(t)
		found := 0
		for _, f := range footers {
			for _, e := range f.Events {
				if e.Kind() == bundle.KindGroupOffsets {
					found++
				}
			}
		}
		if found != 1 {
			t.Errorf("%d events", found)
		}
	})
}

// transactional turns what plainBatch made into a batch, or the abort marker, of a producer's transaction.
func transactional(b []byte, producer byte, abort bool) []byte {
	b[22] |= 0x10
	copy(b[43:51], []byte{0, 0, 0, 0, 0, 0, 0, producer})
	if abort {
		b = b[:61]
		b[22] |= 0x20
		record := []byte{0, 0, 0, 8, 0, 0, 0, 0, 0, 0} // key of 4 bytes: version 0, type 0; no value, no headers
		b = append(append(b, byte(2*len(record))), record...)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	}
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// A transaction begins in one bundle and is aborted in another one of the next process: the footers know it.
func TestOpenTransactions(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		put := func(b []byte) {
			w.src.do(carts, func(g *simLog) {
				g.batches = append(g.batches, simBatch{g.end, g.end, g.epoch, b})
				g.ever[g.end] = b
				g.end++
			})
		}
		put(transactional(plainBatch(0, 1, 1, nil), 7, false))
		p := boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		p.kill(t)
		put(plainBatch(1, 1, 1, nil))
		put(transactional(plainBatch(2, 1, 1, nil), 7, true))
		p = boot(t, w.cfg, w.src, w.shelf)
		pass(time.Minute)
		w.finish(p)
		_, footers := w.shelf.read(t)
		var all []bundle.Entry
		for _, f := range footers {
			all = append(all, f.Chunks...)
		}
		if n := len(all); n != 2 {
			t.Fatalf("%d chunks", n)
		}
		open, aborted := []bundle.Transaction{{ProducerID: 7, First: 0}}, []bundle.Aborted{{ProducerID: 7, First: 0, Marker: 2}}
		if !slices.Equal(all[0].Open, open) || len(all[1].Open) != 0 || !slices.Equal(all[1].Aborted, aborted) {
			t.Errorf("open %v, then %v, aborted %v", all[0].Open, all[1].Open, all[1].Aborted)
		}
	})
}

// Killed at each step of the first commits, one after the other, and started again.
func TestKilledAtEachStep(t *testing.T) {
	for n := range int64(20) {
		bubble(t, fmt.Sprint(n+1), func(t *testing.T, w *world) {
			p := boot(t, w.cfg, w.src, w.shelf)
			p.dies.Store(n + 1)
			for range 60 {
				w.add(1, 500)
				w.mirror.fetch(p.Offer, 1<<20)
				pass(time.Second)
			}
			if !p.dead.Load() {
				t.Error("it lives")
			}
			p.kill(t)
			p = boot(t, w.cfg, w.src, w.shelf)
			pass(time.Minute)
			w.finish(p)
		})
	}
}

// Two processes share the partitions and hand them over again and again: their bundles together are the source.
func TestTwoProcesses(t *testing.T) {
	for seed := range uint64(10) {
		bubble(t, fmt.Sprint(seed), func(t *testing.T, w *world) {
			w.rnd, w.late, w.cfg.Durable = rand.New(rand.NewPCG(seed, 3)), true, nil
			two := w.cfg
			two.Writer = "w2"
			p, q := boot(t, w.cfg, w.src, w.shelf), boot(t, two, w.src, w.shelf)
			all := []stream.Partition{{Topic: "orders"}, {Topic: "orders", Number: 1}, {Topic: "orders", Number: 2}, carts}
			for range 60 {
				for range w.rnd.IntN(8) {
					w.src.append(all[w.rnd.IntN(len(all))], 1+w.rnd.IntN(3), 0, w.rnd.IntN(2000))
				}
				if w.rnd.IntN(4) == 0 {
					ours, theirs := w.src.assigned(), w.src.assigned()
					for _, one := range all {
						if w.rnd.IntN(2) == 0 {
							delete(ours, one)
						} else {
							delete(theirs, one)
						}
					}
					p.Assign(ours)
					q.Assign(theirs)
				}
				w.mirror.fetch(func(o Piece) bool { return p.Offer(o) || q.Offer(o) }, 1<<20)
				pass(time.Duration(w.rnd.IntN(3000)) * time.Millisecond)
			}
			pass(20 * time.Minute)
			q.stop()
			if err := <-q.ended; err != nil {
				t.Fatal(err)
			}
			w.finish(p)
		})
	}
}

// A real store takes the names, the digests and the ranges.
func TestFolder(t *testing.T) {
	st, err := store.Open(t.Context(), "file://"+t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	src := newLogs()
	src.create("carts", 1)
	told := make(chan stream.Upstream, 100)
	cfg := Config{Flow: flowAB, Writer: "w1", FlushInterval: time.Millisecond}
	cfg.Durable = func(at map[stream.Partition]stream.Upstream) { told <- at[carts] }
	for life := range 2 {
		ctx, stop := context.WithCancel(t.Context())
		a, ended := New(cfg, src, st), make(chan error, 1)
		src.append(carts, 10, 0, 100)
		a.Assign(src.assigned())
		go func() { ended <- a.Run(ctx) }()
		for to := range told {
			if to == stream.Upstream(10*(life+1)) {
				break
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if a.header.Generation != int64(life) {
			t.Errorf("generation %d of life %d", a.header.Generation, life)
		}
	}
}

func TestFrame(t *testing.T) {
	a, b := said{0, 4, 1}.bytes(), said{5, 9, 1}.bytes()
	both := append(bytes.Clone(a), b...)
	if got, next, err := frame(append(bytes.Clone(both), a[:30]...), 0); err != nil || next != 10 || !bytes.Equal(got, both) {
		t.Errorf("%d bytes to %d, %v", len(got), next, err)
	}
	if got, next, err := frame(both, 5); err != nil || next != 10 || !bytes.Equal(got, b) {
		t.Errorf("%d bytes to %d, %v", len(got), next, err)
	}
	both[len(a)+70] ^= 1
	if _, next, err := frame(both, 0); err == nil {
		t.Errorf("a flipped byte was taken, up to %d", next)
	}
}
