package replicate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/stream"
)

// What happens to a source partition, and what becomes of it on the target: no record of another log, and one line.

// states are those of all partitions.
func states(t *testing.T, p *Pipe) (list []State) {
	for _, s := range p.Standings(t.Context()) {
		list = append(list, s.State)
	}
	return list
}

// wantTold wants one message with a text, and these words in it.
func (m *sim) wantTold(t *testing.T, text string, words ...string) {
	t.Helper()
	told := m.told(text)
	if len(told) != 1 {
		t.Errorf("told %q, want one line with %q", told, text)
		return
	}
	for _, w := range words {
		if !strings.Contains(told[0], w) {
			t.Errorf("told %q, without %q", told[0], w)
		}
	}
}

func (m *sim) held(a Assignment) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.targets[a.Remote].values)
}

// remember is what the process that is to be killed has noted: the place after its last acknowledged batch.
func (m *sim) remember(a Assignment) Memory {
	live := &liveMemory{simMemory: newSimMemory(), sim: m}
	live.topics[a.Remote] = a.Topic
	return live
}

// TestPipeSourceTruncated: an unclean leader election takes the source back from 20000 to 12000, and the new leader writes
// other records from there on, fewer than were lost, as many, or more.
func TestPipeSourceTruncated(t *testing.T) {
	for _, batches := range []int{0, 2, 4, 7} {
		for _, when := range []string{"while it runs", "while it is stopped", "before it had noted all that it sent"} {
			for _, unguarded := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d new batches, %s, unguarded %v", batches, when, unguarded), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := newSim(1)
						m.unguarded = unguarded
						a := m.assignment("orders", 0)
						l := &simLog{epoch: 3}
						l.plain("old", 10, 2000)
						old := l.want
						m.logs[a.Source], m.targets[a.Remote] = l, &simTarget{}
						m.leads[a.Source], m.leads[a.Remote] = 1, 1
						memory := m.remember(a)
						cut := func() {
							m.mu.Lock()
							l.cut(12000, 4)
							l.plain("new", batches, 2000)
							m.mu.Unlock()
						}
						all := func() bool { return len(m.held(a)) == 20000 }
						halted := func(p *Pipe) func() bool {
							return func() bool { return slices.Equal(states(t, p), []State{Halted}) }
						}
						if when == "while it runs" {
							pipe := m.pipe(memory, NewBudget(8<<20))
							done := false
							runUntil(t, pipe, []Assignment{a}, time.Minute, func() bool {
								if all() && !done {
									done = true
									cut()
									if unguarded && batches == 4 { // to such a broker the place is its end until there is more
										m.mu.Lock()
										l.plain("new", 1, 2000)
										m.mu.Unlock()
									}
								}
								return done && halted(pipe)()
							})
						} else {
							runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, all)
							if when != "while it is stopped" { // forgotten: what lies behind 16000
								m.acks[a.Remote] = slices.DeleteFunc(m.acks[a.Remote], func(k stream.Ack) bool { return k.Next > 16000 })
							}
							cut()
							pipe := m.pipe(memory, NewBudget(8<<20))
							runUntil(t, pipe, []Assignment{a}, time.Minute, halted(pipe))
						}
						if got := m.held(a); !slices.Equal(got, old) {
							t.Errorf("the target holds %d records, want the %d old ones", len(got), len(old))
						}
						at := "20000"
						if strings.HasPrefix(when, "before") {
							at = "16000 and 4000 more records"
						}
						m.wantTold(t, "truncated", "orders/0", at, "12000", "A.orders/0", `mirror position FILE "A->B" orders/0 12000`)
					})
				})
			}
		}
	}
}

// TestPipeSourceTruncatedAbove: what the source has lost had been fetched and not sent. It goes on with what is there now.
func TestPipeSourceTruncatedAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(1)
		a := m.addPlain("orders", 0, 10)
		l := m.logs[a.Source]
		m.lag.Store(int64(time.Second))
		pipe := m.pipe(newSimMemory(), NewBudget(8<<20))
		cut, started := false, time.Now()
		runUntil(t, pipe, []Assignment{a}, time.Minute, func() bool {
			if !cut && time.Since(started) > 500*time.Millisecond { // the first batch is on its way, the others wait for its answer
				cut = true
				m.mu.Lock()
				l.cut(4000, 1)
				l.plain("new", 8, 2000)
				m.mu.Unlock()
			}
			return cut && len(m.held(a)) >= len(l.want)
		})
		if got := m.held(a); !slices.Equal(got, l.want) {
			t.Errorf("%d records, want %d", len(got), len(l.want))
		}
		if told := m.told("truncated"); len(told) > 0 {
			t.Errorf("told %q", told)
		}
	})
}

// TestPipeTruncationsAtRandom cuts random histories at random moments, with kills in between. Either nothing of what was
// cut off had been copied, and the target becomes equal to the source, or it stays as it was and the partition is halted.
func TestPipeTruncationsAtRandom(t *testing.T) {
	outcomes := make(map[State]int)
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			m := newSim(seed)
			a := m.add("orders", 0, 120)
			l := m.logs[a.Source]
			m.unguarded = m.rand.IntN(2) == 0
			m.lag.Store(m.rand.Int64N(int64(50 * time.Millisecond)))
			memory := m.remember(a)
			seen := m.rand.IntN(len(l.want))
			runs := m.rand.IntN(2) == 0
			var before []string
			var cutAt int64
			cut := func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				before = slices.Clone(m.targets[a.Remote].values)
				from := max(0, len(before)-m.rand.IntN(3)*m.rand.IntN(400))
				if m.rand.IntN(2) == 0 {
					from = min(len(l.want)-1, len(before)+m.rand.IntN(3000))
				}
				b := slices.IndexFunc(l.batches, func(e simEntry) bool { return e.last >= l.wantAt[min(from, len(l.want)-1)] })
				cutAt = 0
				if b > 0 {
					cutAt = l.batches[b-1].last + 1
				}
				l.cut(cutAt, l.epoch+1)
				l.plain("new", m.rand.IntN(30), 1+m.rand.IntN(100))
			}
			pipe := m.pipe(memory, NewBudget(8<<20))
			pipe.sizes.MaxPartitionBytes = 4 << 10
			if runs {
				done := false
				at := time.Time{}
				runUntil(t, pipe, []Assignment{a}, 5*time.Minute, func() bool {
					if len(m.held(a)) >= seen && !done {
						done, at = true, time.Now()
						cut()
					}
					return done && time.Since(at) > 5*time.Second
				})
			}
			if !runs {
				runUntil(t, pipe, []Assignment{a}, time.Minute, func() bool { return len(m.held(a)) >= seen })
				cut()
			}
			pipe = m.pipe(memory, NewBudget(8<<20))
			at := time.Now()
			end := CatchingUp
			runUntil(t, pipe, []Assignment{a}, 5*time.Minute, func() bool {
				end = states(t, pipe)[0]
				return time.Since(at) > 5*time.Second
			})
			outcomes[end]++
			got := m.held(a)
			switch {
			case end == Halted:
				for _, v := range got {
					if strings.HasPrefix(v, "new") {
						t.Fatalf("seed %d: halted, and yet %s was copied", seed, v)
					}
				}
			case !slices.Equal(got, l.want):
				t.Errorf("seed %d: %v with %d records, want %d; cut at %d", seed, end, len(got), len(l.want), cutAt)
			}
		})
	}
	if outcomes[Halted] < 5 || outcomes[Live] < 5 {
		t.Errorf("outcomes are %v: too few of a kind to tell", outcomes)
	}
}

// TestPipeEpochsThatTellNothing: the source does not know the epoch that was noted, or its epochs go back in a log that
// nothing has happened to. Replication goes on.
func TestPipeEpochsThatTellNothing(t *testing.T) {
	t.Run("unknown to the source", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newSim(1)
			a := m.addPlain("orders", 0, 10)
			m.hold(a, 10000)
			memory := newSimMemory()
			memory.anchors[a.Remote] = Start{Next: 10000, Sequence: 10000, Epoch: EpochOf(7)}
			runUntil(t, m.pipe(memory, NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
			m.compare(t)
		})
	})
	t.Run("going back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newSim(1)
			a := m.addPlain("orders", 0, 1)
			l := m.logs[a.Source]
			for _, epoch := range []int32{5, 4, 6, 0, 6} {
				l.epoch = epoch
				l.plain(a.Source.String(), 3, 2000)
			}
			runUntil(t, m.pipe(newSimMemory(), NewBudget(8<<20)), []Assignment{a}, time.Minute, m.complete)
			m.compare(t)
		})
	})
}

// TestPipeTopicMadeAnew: the source topic was deleted and made anew, with fewer records than were copied of the old one,
// as many, or more.
func TestPipeTopicMadeAnew(t *testing.T) {
	for _, batches := range []int{0, 2, 5, 9} {
		for _, running := range []bool{false, true} {
			for _, follow := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d batches, running %v, follow %v", batches, running, follow), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := newSim(1)
						m.followNew = follow
						a := m.addPlain("orders", 0, 5)
						a.Topic, m.logs[a.Source].id = stream.TopicID{1}, stream.TopicID{1}
						old := m.logs[a.Source].want
						memory := m.remember(a)
						anew := a
						anew.Topic = stream.TopicID{2}
						swap := func() {
							l := &simLog{id: anew.Topic}
							l.plain("new", batches, 2000)
							m.mu.Lock()
							m.logs[a.Source] = l
							m.mu.Unlock()
						}
						var pipe *Pipe
						settled := func() bool {
							if !follow {
								return slices.Equal(states(t, pipe), []State{Halted})
							}
							return len(m.held(a)) >= len(old)+batches*2000 && len(m.told("made anew")) > 0
						}
						all := func() bool { return len(m.held(a)) == len(old) }
						gone := make(chan struct{}, 100)
						pipe = m.pipe(memory, NewBudget(8<<20))
						pipe.topicGone = func() {
							select {
							case gone <- struct{}{}:
							default:
							}
						}
						if running {
							swapped := false
							runUntil(t, pipe, []Assignment{a}, time.Minute, func() bool {
								if all() && !swapped {
									swapped = true
									swap()
								}
								select {
								case <-gone:
									_ = pipe.Assign(t.Context(), []Assignment{anew})
								default:
								}
								return swapped && settled()
							})
						} else {
							runUntil(t, pipe, []Assignment{a}, time.Minute, all)
							swap()
							memory.(*liveMemory).positions[a.Source] = 9999 // MM2's topic does not say of which one
							pipe = m.pipe(memory, NewBudget(8<<20))
							runUntil(t, pipe, []Assignment{anew}, time.Minute, settled)
						}
						want := old
						if follow {
							want = append(slices.Clone(old), m.logs[a.Source].want...)
						}
						if got := m.held(a); !slices.Equal(got, want) {
							t.Errorf("%d records, want %d", len(got), len(want))
						}
						m.wantTold(t, "made anew", "orders", "AQAAAAAA", "AgAAAAAA")
						if follow {
							m.wantTold(t, "begin at offset 10000 of A.orders/0")
						} else {
							m.wantTold(t, "topic.recreated=follow", "below offset 10000", fmt.Sprintf("ends at %d", batches*2000))
						}
					})
				})
			}
		}
	}
}

// TestPipeRetentionGapHalts with retention.gap=halt, and only where records were lost.
func TestPipeRetentionGapHalts(t *testing.T) {
	for _, c := range []struct {
		start int64
		held  int
		lost  string
	}{
		{30000, 50000, ""},
		{60000, 50000, "records 50000 to 59999 of orders/0"},
		{20000, 0, "records 0 to 19999 of orders/0"},
	} {
		t.Run(fmt.Sprintf("starts at %d, held %d", c.start, c.held), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(1)
				m.haltAtGap = true
				a := m.addPlain("orders", 0, 40)
				if c.held > 0 {
					m.hold(a, c.held)
				}
				l := m.logs[a.Source]
				l.start, l.batches = c.start, l.batches[c.start/2000:]
				memory := newSimMemory()
				memory.anchors[a.Remote] = Start{}
				before := m.held(a)
				pipe := m.pipe(memory, NewBudget(8<<20))
				runUntil(t, pipe, []Assignment{a}, time.Minute, func() bool {
					return m.complete() || slices.Equal(states(t, pipe), []State{Halted})
				})
				if c.lost == "" {
					m.compare(t)
					return
				}
				if got := m.held(a); !slices.Equal(got, before) {
					t.Errorf("%d records, want %d", len(got), len(before))
				}
				m.wantTold(t, "deleted by the source's retention", c.lost, "retention.gap=halt", fmt.Sprintf(`mirror position FILE "A->B" orders/0 %d`, c.start))
			})
		})
	}
}
