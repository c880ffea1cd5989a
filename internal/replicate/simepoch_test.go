package replicate

import (
	"context"
	"encoding/binary"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// The simulated source's leader epochs: each batch carries the one under which it was appended.

// stamped is a batch with the log's leader epoch, which no CRC covers.
func (l *simLog) stamped(raw []byte) []byte {
	if l.epoch > 0 {
		binary.BigEndian.PutUint32(raw[12:], uint32(l.epoch))
	}
	return raw
}

// cut is what an unclean election does: everything from an offset on is gone, and a new leader begins there.
func (l *simLog) cut(end int64, epoch int32) {
	for n := len(l.batches); n > 0 && l.batches[n-1].last >= end; n = len(l.batches) {
		l.batches = l.batches[:n-1]
	}
	for n := len(l.want); n > 0 && l.wantAt[n-1] >= end; n = len(l.want) {
		l.want, l.wantAt = l.want[:n-1:n-1], l.wantAt[:n-1:n-1]
	}
	l.end, l.epoch = end, epoch
	l.leaders = append(l.leaders, simLeader{epoch, end})
}

// simLeader is a leader that began at an offset, whether it has written or not.
type simLeader struct {
	epoch int32
	start int64
}

// epochEnd is a broker's answer about an epoch.
func (l *simLog) epochEnd(asked int32) stream.EpochEnd {
	type began struct {
		epoch int32
		start int64
	}
	all := []began{}
	for _, b := range l.batches {
		if v, _, err := batch.Next(b.raw); err == nil {
			all = append(all, began{v.LeaderEpoch(), v.BaseOffset()})
		}
	}
	for _, s := range l.leaders {
		all = append(all, began(s))
	}
	answer := stream.EpochEnd{Epoch: -1, End: -1}
	latest := int32(0)
	for _, b := range all {
		latest = max(latest, b.epoch)
		if b.epoch <= asked {
			answer.Epoch = max(answer.Epoch, b.epoch)
		}
	}
	if asked > latest {
		return stream.EpochEnd{Epoch: -1, End: -1}
	}
	end := l.end
	for _, b := range all {
		if b.epoch > asked {
			end = min(end, b.start)
		}
	}
	if answer.Epoch < 0 {
		answer.Epoch = asked
	}
	answer.End = stream.Upstream(end)
	return answer
}

func (m *sim) EpochEnds(_ context.Context, epochs map[stream.Partition]int32) (map[stream.Partition]stream.EpochEnd, map[stream.Partition]error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ends := make(map[stream.Partition]stream.EpochEnd)
	for p, epoch := range epochs {
		ends[p] = m.logs[p].epochEnd(epoch)
	}
	return ends, nil, nil
}
