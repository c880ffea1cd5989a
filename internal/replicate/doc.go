// Package replicate is the pipe of one flow: record batches of the source cluster come in as bytes, and leave as bytes
// for the remote partitions of the target cluster.
//
// In the order in which data moves: fetch.go (one loop for each source broker), route.go (frames, checks and filters what a
// fetch brought), partition.go (the queue and the in-flight batches of one partition), shape.go (the next batch to send),
// produce.go (one queue for each target broker, five requests open), ack.go (what an answer does), and pipe.go, the
// one goroutine that owns all of that state. throttle.go bounds how fast a flow reads, throttle_loop.go what a fetch loop asks
// for then. resume.go decides where a partition starts; exact.go holds that against the
// target's log, compare.go against its records, foreign.go against other writers; leaders.go follows leader changes;
// waiting.go tries again; outage.go tells once what stops many; settled.go tells of places that no batch tells of.
//
// For the people on call: known.go keeps since when it is known that the source has more, and as of when nothing would be lost;
// ends.go asks for the source's ends where nothing is read; state.go says what a partition is doing, cause.go why it stands still;
// measure.go measures batches; standing.go puts all of that together.
//
// Two-way flows: origins.go knows what the opposite flow has written, which is not sent back; shared.go finds our records
// among others' in a remote partition. survey.go recounts gaps of the exact offset map; survey_check.go says whether a
// count is to be believed, survey_match.go matches by contents where it is not (survey_rare.go: which records are alone
// of their kind).
//
// What comes in: assignments (source partition, remote partition, limits), and where each one starts. What goes out: batches
// to the target in order, a stream.Ack for each one that the target has appended, and events.
//
// Terms. A batch is in flight from its sending until the target's answer. A partition is stalled while the target or the
// source refuses it; it is tried again by itself and holds little memory meanwhile. The n-th record that the flow
// writes to a remote partition carries producer sequence n (modulo 2^31), whatever process writes it.
//
// Guarantees: order within a partition; no record skipped without an event; bounded memory (Budget), of which what waits to
// be sent again has a quarter at most. Not guaranteed here: that nobody else writes to a remote partition; a partition that
// is not said to be shared is halted when somebody does.
//
// Of what Standings tell: whatever was acknowledged to producers by Standing.Sure is on the target. Lag and Behind count what the source has told, so
// they are late by a fetch, or by two looks (four seconds) where the source has to be asked; they count offsets, and so markers and holes.
package replicate
