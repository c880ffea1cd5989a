package checkpoint

import (
	"fmt"
	"testing"
)

// A round of 1,000 groups by 50 partitions, offsets from memory.
func BenchmarkRound(b *testing.B) {
	for _, moving := range []int{0, 10, 100} {
		b.Run(fmt.Sprintf("moving=%d%%", moving), func(b *testing.B) {
			s := newScene(b)
			s.config.Sync = 0
			for p := range int32(50) {
				s.mirrored[at("a", p)] = 1 << 40
			}
			step := func(share int) {
				for g := range 1000 {
					for p := range int32(50) {
						if g%100 < share {
							s.source.set(fmt.Sprint("g", g), at("a", p), s.source.at(fmt.Sprint("g", g), at("a", p))+11)
						}
					}
				}
			}
			step(100)
			s.keeper = New(s.config)
			s.round()
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				step(moving)
				s.log = newTopics("A.checkpoints.internal", "mm2-tandem.A.internal")
				s.keeper.Log = s.log
				b.StartTimer()
				s.round()
			}
		})
	}
}
