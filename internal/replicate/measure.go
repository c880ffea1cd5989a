package replicate

import "time"

// Observer is told of durations by the goroutine that owns the pipe: it must neither block nor allocate.
type Observer interface {
	// Acked is told once for each batch that the target has acknowledged, how long after its fetch that was.
	Acked(delay time.Duration)
	// Heartbeat is told once for each batch of Config.Heartbeats that the target has acknowledged, how long after its newest
	// heartbeat was written that was, by the clocks of who wrote it and of this process.
	Heartbeat(delay time.Duration)
}
