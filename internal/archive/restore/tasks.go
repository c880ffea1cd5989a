package restore

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"tandem/internal/stream"
)

// tasks are the next spans to be read: those of the oldest object that has any, of all partitions, then those of the next one, and so on. So
// partitions advance side by side, and what stands side by side in an object is read together.
func (s *Session) tasks(most int64) []task {
	type next struct {
		partition stream.Partition
		log       *Log
		span      int
		from      stream.Upstream
		bytes     int64 // of the partition, so far
		bound     int64 // for them
	}
	var all []*next
	for _, p := range s.turn {
		place := s.places[p]
		if log := s.source.logs[p]; log != nil {
			if i := log.at(place.Offset); i < len(log.spans) {
				all = append(all, &next{p, log, i, place.Offset, 0, int64(place.MaxBytes)})
			}
		}
	}
	var list []task
	total := int64(0)
	for len(all) > 0 && (total < most || len(list) == 0) {
		object := slices.MinFunc(all, func(a, b *next) int {
			return cmp.Compare(a.log.spans[a.span].Object.Name, b.log.spans[b.span].Object.Name)
		})
		name := object.log.spans[object.span].Object.Name
		all = slices.DeleteFunc(all, func(n *next) bool {
			for ; n.span < len(n.log.spans) && n.log.spans[n.span].Object.Name == name; n.span++ {
				size := n.log.spans[n.span].size()
				if len(list) > 0 && total+size > most || n.bytes > 0 && n.bytes+size > n.bound {
					return true
				}
				n.bytes, total = n.bytes+size, total+size
				list = append(list, task{partition: n.partition, log: n.log, span: n.span, from: n.from})
				n.from = n.log.spans[n.span].To
			}
			return n.span == len(n.log.spans)
		})
	}
	s.rotate(list)
	return list
}

// rotate puts those that are read now behind the others.
func (s *Session) rotate(list []task) {
	read := make(map[stream.Partition]bool, len(list))
	var behind []stream.Partition
	for _, t := range list {
		if !read[t.partition] {
			read[t.partition] = true
			behind = append(behind, t.partition)
		}
	}
	s.turn = append(slices.DeleteFunc(s.turn, func(p stream.Partition) bool { return read[p] }), behind...)
}

// readAll reads the chunks of tasks, some at a time, and makes their pages.
func (s *Session) readAll(ctx context.Context, tasks []task) error {
	group, ctx := errgroup.WithContext(ctx)
	ahead := chunksAhead
	if s.source.alone {
		ahead = smallAhead
	}
	group.SetLimit(ahead)
	for _, list := range together(tasks) {
		group.Go(func() error { return readTogether(ctx, list) })
	}
	return group.Wait()
}

// together puts tasks together whose chunks one request reads, ascending.
func together(tasks []task) (lists [][]*task) {
	order := make([]*task, len(tasks))
	for i := range tasks {
		order[i] = &tasks[i]
	}
	slices.SortStableFunc(order, func(a, b *task) int {
		x, y := a.at(), b.at()
		return cmp.Or(cmp.Compare(x.Object.Name, y.Object.Name), cmp.Compare(x.Chunk, y.Chunk))
	})
	last := -1           // of the lists, the one that may grow
	var begin, end int64 // of its bytes
	for _, t := range order {
		s := t.at()
		from, to := s.Entry.Position, s.Entry.Position+s.Entry.Stored
		switch {
		case s.out || s.Entry.Stored > joinMax: // nothing is read, or enough by itself
			lists = append(lists, []*task{t})
		case last >= 0 && lists[last][0].at().Object.Name == s.Object.Name && from-end <= apartMax && to-begin <= togetherMax:
			lists[last], end = append(lists[last], t), max(end, to)
		default:
			last, begin, end = len(lists), from, to
			lists = append(lists, []*task{t})
		}
	}
	return lists
}

func (t *task) at() *span { return &t.log.spans[t.span] }

// readTogether reads the chunks of tasks that stand near each other, and makes their pages.
func readTogether(ctx context.Context, list []*task) error {
	if len(list) > 1 {
		var chunks []int
		for _, t := range list {
			if c := t.at().Chunk; len(chunks) == 0 || chunks[len(chunks)-1] != c {
				chunks = append(chunks, c)
			}
		}
		first := list[0]
		// Where one of them is broken, each is read alone, and the one that is says so.
		if raws, err := first.log.chunks.Together(ctx, first.at().Object, chunks); err == nil {
			for _, t := range list {
				i, _ := slices.BinarySearch(chunks, t.at().Chunk)
				t.raw, raws[i] = raws[i], nil // two spans of one chunk: the second reads it alone
			}
		}
	}
	for _, t := range list {
		var err error
		if t.raw == nil && !t.at().out {
			if t.raw, err = t.log.chunk(ctx, t.span); err != nil {
				return err
			}
		}
		if t.page, err = t.log.page(ctx, t.span, t.from, t.raw); err != nil {
			return err
		}
	}
	return nil
}
