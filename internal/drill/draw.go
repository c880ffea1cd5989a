package drill

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"tandem/internal/stream"
)

// Draw chooses so many partitions, or all if there are fewer, at random: each topic comes once before any comes twice. The same numbers draw
// the same partitions.
func Draw(r *rand.Rand, from []stream.Partition, most int) []stream.Partition {
	order := func(a, b stream.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
	}
	from = slices.Compact(slices.SortedFunc(slices.Values(from), order))
	byTopic := make(map[string][]stream.Partition)
	var topics []string
	for _, p := range from {
		if byTopic[p.Topic] == nil {
			topics = append(topics, p.Topic)
		}
		byTopic[p.Topic] = append(byTopic[p.Topic], p)
	}
	r.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
	for _, t := range topics {
		list := byTopic[t]
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	var drawn []stream.Partition
	for len(drawn) < most && len(topics) > 0 {
		for _, t := range topics {
			if list := byTopic[t]; len(list) > 0 && len(drawn) < most {
				drawn, byTopic[t] = append(drawn, list[0]), list[1:]
			}
		}
		topics = slices.DeleteFunc(topics, func(t string) bool { return len(byTopic[t]) == 0 })
	}
	slices.SortFunc(drawn, order)
	return drawn
}
