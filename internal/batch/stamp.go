package batch

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Producer is what Stamp writes: who appends the batch, and as which of its appends to the partition.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the batch's first record

	Transactional bool // the batch is part of a transaction of the producer's
}

// Stamp makes the v2 batch raw, in place, ready to produce by p: base offset 0, leader epoch -1, transactional only if
// p is, no delete horizon, CRC computed. Only the header changes. It does not touch the LogAppendTime bit: cleared without
// rewriting the records it would change every timestamp, which is why Shape rebuilds such batches.
func Stamp(raw []byte, p Producer) {
	attributes := binary.BigEndian.Uint16(raw[atAttributes:]) &^ (bitTransactional | bitDeleteHorizon)
	if p.Transactional {
		attributes |= bitTransactional
	}
	binary.BigEndian.PutUint64(raw, 0)
	binary.BigEndian.PutUint32(raw[atLeaderEpoch:], math.MaxUint32)
	binary.BigEndian.PutUint16(raw[atAttributes:], attributes)
	binary.BigEndian.PutUint64(raw[atProducerID:], uint64(p.ID))
	binary.BigEndian.PutUint16(raw[atProducerEpoch:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(raw[atBaseSequence:], uint32(p.Sequence))
	binary.BigEndian.PutUint32(raw[atCRC:], crc32.Checksum(raw[atAttributes:], castagnoli))
}

// NextSequence is the sequence number n records after seq. As Kafka counts, 2^31-1 is followed by 0.
func NextSequence(seq, n int32) int32 { return int32((int64(seq) + int64(n)) & math.MaxInt32) }
