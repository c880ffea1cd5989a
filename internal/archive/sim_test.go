package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

var (
	errKilled = errors.New("killed")
	flowAB    = stream.Flow{Source: "A", Target: "B"}
)

// process is one run of an archiver, beside a replication that offers what it fetches.
type process struct {
	*Archiver
	stop  context.CancelFunc
	ended chan error
	dead  atomic.Bool
	dies  atomic.Int64 // at the n-th step from now; 0 is never
}

// boot starts one.
func boot(t *testing.T, cfg Config, src *logs, st *shelf) *process {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &process{Archiver: New(cfg, src, st), stop: stop, ended: make(chan error, 1)}
	p.step = func(string) error {
		if p.dead.Load() || p.dies.Load() > 0 && p.dies.Add(-1) == 0 {
			p.dead.Store(true)
			return errKilled
		}
		return nil
	}
	p.Assign(src.assigned())
	go func() { p.ended <- p.Run(ctx) }()
	return p
}

// kill ends it as SIGKILL does: nothing is written any more.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.dead.Store(true)
	p.store.(*shelf).setAway(true) // what is being written does not get there, but for what the shelf has taken in
	p.stop()
	if err := <-p.ended; err != nil && !errors.Is(err, errKilled) {
		t.Fatalf("Run: %v", err)
	}
	p.store.(*shelf).setAway(false)
}

// mirror is replication: it fetches from where it is, and offers.
type mirror struct {
	src *logs
	at  map[stream.Partition]place
	ids map[stream.Partition]stream.TopicID
}

func newMirror(src *logs) *mirror {
	return &mirror{src: src, at: make(map[stream.Partition]place), ids: make(map[stream.Partition]stream.TopicID)}
}

// fetch fetches once from each partition.
func (m *mirror) fetch(offer func(Piece) bool, bytes int32) {
	for p, topic := range m.src.assigned() {
		at, ok := m.at[p]
		if !ok || m.ids[p] != topic.ID {
			at = place{0, -1}
		}
		m.ids[p] = topic.ID
		f, err := m.src.Read(context.Background(), stream.Place{
			Partition: p, Topic: topic.ID, Offset: at.next, Epoch: -1, LastEpoch: at.epoch, MaxBytes: bytes,
		}, false)
		switch {
		case err != nil:
			m.src.do(p, func(g *simLog) { at = place{stream.Upstream(g.start), -1} })
		case f.Diverged != nil:
			at = place{f.Diverged.End, f.Diverged.Epoch}
		default:
			batches, next, err := frame(f.Records, at.next)
			if err != nil {
				panic(err)
			}
			if next > at.next {
				piece := Piece{Source: p, Topic: topic.ID, From: at.next, Next: next, LeaderEpoch: at.epoch, Batches: batches}
				_, after, _ := follow(at, piece)
				offer(piece)
				clear(batches) // the fetcher's buffer is used again
				at = after
			}
		}
		m.at[p] = at
	}
}

// world is a simulation.
type world struct {
	t      *testing.T
	rnd    *rand.Rand
	src    *logs
	shelf  *shelf
	mirror *mirror
	cfg    Config
	late   bool // puts of dead processes come later: their offsets may stand twice
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), src: newLogs(), shelf: newShelf()}
	w.mirror = newMirror(w.src)
	w.cfg = Config{Flow: flowAB, Writer: "w1", Memory: 64 << 10, FlushBytes: 16 << 10, FlushInterval: 2 * time.Second, Compression: bundle.Zstd}
	w.cfg.Offers = seed%2 == 0
	w.cfg.Durable = func(at map[stream.Partition]stream.Upstream) {
		all, _ := w.shelf.read(t)
		for p, to := range at {
			id := w.src.assigned()[p].ID
			if has := all[part{id, p.Number}].reaches(0); has < to && has > 0 {
				t.Errorf("%s is said to be durable up to %d, and is up to %d", p, to, has)
			}
		}
	}
	w.src.create("orders", 3)
	w.src.create("carts", 1)
	return w
}

// turn is a second or so of the life of the source and of replication.
func (w *world) turn(p *process, all []stream.Partition) {
	r := w.rnd
	for range r.IntN(6) {
		w.src.append(all[r.IntN(len(all))], 1+r.IntN(5), r.IntN(8)/7, 1+r.IntN(3000))
	}
	switch r.IntN(40) {
	case 0:
		w.shelf.setAway(true)
	case 1, 2:
		w.shelf.setAway(false)
	case 3:
		w.shelf.script("500", "lost", "500")
	case 4:
		w.shelf.script("lost")
	case 5:
		clear(w.mirror.at) // replication starts anew
	case 6:
		w.src.do(all[r.IntN(len(all))], func(g *simLog) { g.retain(g.end - r.Int64N(30)) })
	case 8: // partitions leave and come back
		some := w.src.assigned()
		delete(some, all[r.IntN(len(all))])
		p.Assign(some)
		pass(time.Duration(r.IntN(2)) * time.Second)
		p.Assign(w.src.assigned())
	case 9:
		if w.late {
			break // what comes late is of another log then, and only leader epochs tell
		}
		w.src.do(all[r.IntN(len(all))], func(g *simLog) {
			if n := len(g.batches); n > 2 {
				g.truncate(g.batches[n-1-r.IntN(2)].base)
			}
		})
	case 7:
		if r.IntN(4) == 0 {
			w.src.create("orders", 3)
			p.Assign(w.src.assigned())
		}
	}
	offer := p.Offer
	if r.IntN(10) == 0 {
		offer = func(Piece) bool { return false } // declined, or the tee was not there
	}
	if r.IntN(12) > 0 {
		w.mirror.fetch(offer, int32(1+r.IntN(8000)))
	}
	pass(time.Duration(r.IntN(1500)) * time.Millisecond)
	synctest.Wait()
}

func TestArchiveEqualsSource(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { simulate(t, uint64(seed)) }) })
	}
}

func simulate(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	w.late = seed%3 == 2
	var all []stream.Partition
	for n := range 3 {
		all = append(all, stream.Partition{Topic: "orders", Number: int32(n)})
	}
	all = append(all, stream.Partition{Topic: "carts"})
	p := boot(t, w.cfg, w.src, w.shelf)
	for life := range 8 {
		if w.rnd.IntN(2) == 0 {
			p.dies.Store(1 + w.rnd.Int64N(12))
		}
		for range 15 + w.rnd.IntN(40) {
			w.turn(p, all)
			if p.dead.Load() {
				break
			}
		}
		if w.late && life%3 == 2 {
			w.shelf.script("late", "late", "late")
			pass(5 * time.Second)
		}
		p.kill(t)
		if w.rnd.IntN(2) == 0 {
			w.shelf.work() // before the next one looks
		}
		w.shelf.script()
		p = boot(t, w.cfg, w.src, w.shelf)
		synctest.Wait()
		w.shelf.work()
	}
	w.shelf.setAway(false)
	for range 30 {
		w.mirror.fetch(p.Offer, 1<<20)
		pass(time.Second)
	}
	pass(20 * time.Minute)
	p.stop()
	if err := <-p.ended; err != nil {
		t.Fatalf("Run: %v", err)
	}
	if p.used != 0 {
		t.Errorf("%d bytes of memory are counted, and nothing waits", p.used)
	}
	w.check()
}

// check compares the store with the source: nothing lost, nothing else, nothing twice.
func (w *world) check() {
	t := w.t
	t.Helper()
	all, footers := w.shelf.read(t)
	for _, topic := range w.src.lives {
		alive := w.src.topics[topic.name] == topic
		for n, log := range topic.parts {
			k := all[part{topic.id, int32(n)}]
			if log.cut && !alive {
				continue // it may have been deleted before anybody saw that it had been truncated
			}
			if k == nil {
				if alive && log.end > 0 {
					t.Errorf("%s/%d: nothing archived of %d", topic.name, n, log.end)
				}
				continue
			}
			first := k.covered[0].from
			if topic.id[1] > 2 && first != 0 {
				t.Errorf("%s/%d: a topic that was made anew is archived from %d on", topic.name, n, first)
			}
			for _, s := range k.covered {
				first = min(first, s.from)
			}
			to := k.reaches(first)
			// A hole at the end holds no record: the archive need not know of it.
			for base := range log.ever {
				if base >= int64(to) && alive {
					t.Errorf("%s/%d: archived from %d to %d, not %d", topic.name, n, first, to, base)
				}
			}
			for base, b := range log.ever {
				in := func(s span) bool { return base >= int64(s.from) && base < int64(s.to) }
				lost := base < int64(first)
				for _, g := range k.gaps {
					lost = lost || in(g)
				}
				if has, ok := k.batches[base]; base < int64(to) && !lost && (!log.cut || base >= log.start) && (!ok || !bytes.Equal(has, b)) {
					t.Errorf("%s/%d: batch at %d: archived %v, and not as it is", topic.name, n, base, ok)
				}
			}
			for base, b := range k.batches {
				forgotten := log.cut && base < log.start // the source could not say any more where it was truncated
				if !bytes.Equal(log.ever[base], b) && !forgotten {
					t.Errorf("%s/%d: archived at %d what the source did not have", topic.name, n, base)
				}
			}
			for _, g := range k.gaps {
				if int64(g.to) > log.start {
					t.Errorf("%s/%d: a gap up to %d, the log begins at %d", topic.name, n, g.to, log.start)
				}
			}
			if k.twice > 0 && !w.late && !log.cut {
				t.Errorf("%s/%d: %d batches twice", topic.name, n, k.twice)
			}
		}
	}
	chain(t, footers, w.late)
}

// chain checks that sequences have no hole and each bundle names the one that its writer made before. One that came late is
// named by nobody.
func chain(t *testing.T, footers []bundle.Footer, late bool) {
	t.Helper()
	last := make(map[string]bundle.Footer)
	for _, f := range footers {
		before, h := last[f.Header.Writer], f.Header
		last[h.Writer] = f
		if late {
			continue
		}
		if f.Previous != before.Digest {
			t.Errorf("%s names another bundle before it than %s", bundle.Name("", h), bundle.Name("", before.Header))
		}
		next := h.Sequence == before.Header.Sequence+1 && h.Generation == before.Header.Generation
		if first := h.Sequence == 0 && (h.Generation > before.Header.Generation || before.Size == 0); !next && !first {
			t.Errorf("%s follows on %s", bundle.Name("", h), bundle.Name("", before.Header))
		}
	}
}

// pass lets time pass, which in a bubble is no waiting.
func pass(d time.Duration) { <-time.After(d) }
