package bundle

import (
	"math/rand/v2"
	"slices"
	"testing"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// logged is a batch of a log of transactions.
type logged struct {
	made
	aborted bool // it is data, and its transaction was aborted
	decided bool // its transaction, if it is in one, has ended
}

// transactions writes a log of several producers, and remembers what became of each transaction.
func transactions(rnd *rand.Rand) []logged {
	var log []logged
	open := make(map[int64][]int) // batches of a producer's open transaction
	offset := rnd.Int64N(50)
	for range 5 + rnd.IntN(60) {
		p := rnd.Int64N(4)
		m := made{base: offset, times: make([]int64, 1+rnd.IntN(3)), producer: p}
		offset += int64(len(m.times)) + rnd.Int64N(3)
		switch {
		case p == 3: // not transactional
			m.producer = 100 + rnd.Int64N(2)
			log = append(log, logged{made: m, decided: true})
		case len(open[p]) > 0 && rnd.IntN(3) == 0:
			m.marker, m.times = 1+rnd.IntN(2), m.times[:1]
			for _, i := range open[p] {
				log[i].aborted, log[i].decided = m.marker == 2, true
			}
			delete(open, p)
			log = append(log, logged{made: m, decided: true})
		default:
			m.attributes = 0x10
			open[p] = append(open[p], len(log))
			log = append(log, logged{made: m})
		}
	}
	return log
}

// fetchTold is what a read_committed fetch from an offset on tells: each aborted transaction that ends at or after it, and
// begins below the end.
func fetchTold(log []logged, from, to int64) (told []stream.AbortedTransaction) {
	first := make(map[int64]int64)
	for _, b := range log {
		if b.marker == 0 && b.attributes == 0x10 {
			if _, ok := first[b.producer]; !ok {
				first[b.producer] = b.base
			}
		}
		if b.marker > 0 {
			if f, ok := first[b.producer]; ok && b.marker == 2 && b.base >= from && f < to {
				told = append(told, stream.AbortedTransaction{ProducerID: b.producer, First: stream.Upstream(f)})
			}
			delete(first, b.producer)
		}
	}
	return told
}

// visible is the rule of docs/archive-format.md: what the entries of a partition say of a batch, by footers alone.
func visible(entries []Entry, v batch.View) (aborted, decided bool) {
	at := stream.Upstream(v.BaseOffset())
	markers := make(map[Transaction]stream.Upstream)
	for _, e := range entries {
		for _, a := range e.Aborted {
			t := Transaction{ProducerID: a.ProducerID, First: a.First}
			if known, ok := markers[t]; !ok || known < 0 {
				markers[t] = a.Marker
			}
		}
	}
	if !v.Transactional() {
		return false, true
	}
	for t, marker := range markers {
		if t.ProducerID == v.ProducerID() && t.First <= at && (marker < 0 || at < marker) {
			return true, true
		}
	}
	own := slices.IndexFunc(entries, func(e Entry) bool { return at < e.Next })
	if entries[own].Committed {
		return false, true // the fetch that it came in would have told otherwise
	}
	for _, t := range entries[len(entries)-1].Open {
		if t.ProducerID == v.ProducerID() && t.First <= at {
			return false, false
		}
	}
	return false, true
}

func TestFootersTellWhichTransactionsWereAborted(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		log := transactions(rnd)
		full := log // markers may stand above what a read_committed fetch gives
		committed := rnd.IntN(2) == 0
		if committed { // a read_committed fetch ends below the first open transaction
			if i := slices.IndexFunc(log, func(b logged) bool { return !b.decided }); i >= 0 {
				log = log[:i]
			}
		}
		log = slices.DeleteFunc(slices.Clone(log), func(b logged) bool { return b.marker == 0 && rnd.IntN(5) == 0 }) // compaction
		if len(log) == 0 {
			continue
		}
		start := rnd.IntN(len(log)/2 + 1) // where the archive begins
		var entries []Entry
		var open []Transaction
		var told []stream.AbortedTransaction
		for i, fetched := start, start; i < len(log); {
			n := min(len(log)-i, 1+rnd.IntN(6))
			c := Chunk{Topic: topic("t"), First: stream.Upstream(log[i].base), Open: open, Begins: i == start, Committed: committed}
			c.Next = c.First + 1000
			if i+n < len(log) {
				c.Next = stream.Upstream(log[i+n].base)
			}
			if committed {
				if i >= fetched { // the next answer; it may be cut into several chunks, each of which gets the list
					fetched = i + n + rnd.IntN(10)
					end := int64(1 << 40)
					if fetched < len(log) {
						end = log[fetched].base
					}
					told = fetchTold(full, log[i].base, end)
				}
				c.Aborted = told
				if more := i + n; more > fetched { // or a chunk is made of two answers
					c.Aborted = append(slices.Clone(told), fetchTold(full, log[min(fetched, len(log)-1)].base, int64(c.Next))...)
				}
			}
			var batches [][]byte
			for _, b := range log[i : i+n] {
				batches = append(batches, b.bytes())
			}
			e, _, err := scanChunk(c, batches)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			entries, open, i = append(entries, e), e.Open, i+n
		}
		for _, b := range log[start:] {
			v, _, err := batch.Next(b.bytes())
			if err != nil {
				t.Fatal(err)
			}
			aborted, decided := visible(entries, v)
			if v.Control() {
				continue
			}
			if aborted != b.aborted || decided != b.decided {
				t.Fatalf("seed %d, read_committed %t: batch of producer %d at %d: aborted %t, decided %t, not %t, %t\n%s", seed, committed,
					b.producer, b.base, aborted, decided, b.aborted, b.decided, Footer{Chunks: entries})
			}
		}
		if committed {
			continueCommitted(t, seed, log[start:], entries)
		}
	}
}

// continueCommitted: with read_committed a chunk's own entry says what its records are; no other footer is needed.
func continueCommitted(t *testing.T, seed uint64, log []logged, entries []Entry) {
	t.Helper()
	for _, b := range log {
		v, _, err := batch.Next(b.bytes())
		if err != nil {
			t.Fatal(err)
		}
		own := slices.IndexFunc(entries, func(e Entry) bool { return stream.Upstream(b.base) < e.Next })
		if aborted, _ := visible(entries[own:own+1], v); !v.Control() && aborted != b.aborted {
			t.Fatalf("seed %d: batch of producer %d at %d: aborted %t by its own entry", seed, b.producer, b.base, aborted)
		}
	}
}
