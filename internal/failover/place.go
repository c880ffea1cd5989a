package failover

import (
	"context"
	"fmt"
	"time"

	"tandem/internal/stream"
)

// place is where reading goes on in a partition of To.
type place struct {
	at     int64
	class  stream.Class
	again  int64
	reason string
	gone   bool  // inexact only because retention has deleted the exact place on To
	tail   int64 // in the tail behind the map: how many records stand there
}

func unknown(reason string) place { return place{at: -1, class: stream.Unknown, reason: reason} }

// locate finds a committed offset of a group on To.
func (s *Situation) locate(ctx context.Context, group string, leg Leg, offset int64) (place, error) {
	var found place
	var err error
	switch leg.Way {
	case Mirrored:
		found, err = s.forward(ctx, group, leg, offset)
	case Home:
		found, err = s.home(ctx, group, leg, offset)
	default:
		found, err = s.both(ctx, group, leg, offset)
	}
	if err != nil || found.class == stream.Unknown {
		return found, err
	}
	return s.bounded(leg, found), nil
}

// forward follows the flow From->To.
func (s *Situation) forward(ctx context.Context, group string, leg Leg, offset int64) (place, error) {
	if s.Map == nil {
		return unknown("no flow " + s.Rules.From + "->" + s.Rules.To), nil
	}
	t, err := s.Map.Translate(ctx, leg.To, stream.Upstream(offset))
	if err != nil {
		return place{}, fmt.Errorf("translate offset %d of %s: %w", offset, leg.From, err)
	}
	found := place{at: int64(t.Offset), class: t.Class, again: t.Again, reason: t.Reason}
	if found.class == stream.Clamped {
		if found, err = s.belowStart(ctx, leg, offset, found); err != nil {
			return found, err
		}
	}
	if found.class == stream.Ahead {
		found = s.inTail(leg, offset, found)
	}
	return s.byCheckpoint(group, leg, offset, found), nil
}

// belowStart makes an offset exact that lies below the source's log start, when the record there is mirrored: what is missing
// before it is missing at the source as well.
func (s *Situation) belowStart(ctx context.Context, leg Leg, offset int64, found place) (place, error) {
	start, known := s.From.Starts[leg.From]
	if !s.From.Live || !known || offset >= start || found.again > 0 {
		return found, nil
	}
	first, err := s.Map.Translate(ctx, leg.To, stream.Upstream(start))
	if err != nil {
		return found, fmt.Errorf("translate offset %d of %s: %w", start, leg.From, err)
	}
	if first.Class == stream.Exact && int64(first.Offset) == found.at {
		return place{at: found.at, class: stream.Exact}, nil
	}
	return found, nil
}

// tail is how many records of To stand behind the end of the map: the mirror was stopped before it wrote what it knew of
// them. In a partition that others write to as well they may be anybody's.
func (s *Situation) tail(leg Leg) (up stream.Upstream, down stream.Downstream, records int64) {
	if s.Map == nil || leg.Way != Mirrored {
		return 0, 0, 0
	}
	up, down, ok := s.Map.Covered(leg.To)
	if end, known := s.To.Ends[leg.To]; ok && known {
		records = max(0, end-int64(down))
	}
	return up, down, records
}

// inTail is for an offset behind the map that may be among the records that the map does not know.
func (s *Situation) inTail(leg Leg, offset int64, found place) place {
	up, down, records := s.tail(leg)
	if records == 0 {
		return found
	}
	again := min(records, offset-int64(up))
	return place{at: min(found.at, int64(down)), class: stream.Clamped, again: again, tail: records,
		reason: fmt.Sprintf("the mirror had not noted its last %d records", records)}
}

// byCheckpoint takes the place of the group's last checkpoint where that is nearer. A checkpoint that says more than the map
// allows is left aside: it is of a topic that was made anew since.
func (s *Situation) byCheckpoint(group string, leg Leg, offset int64, found place) place {
	if found.class != stream.Clamped && found.class != stream.Unknown {
		return found
	}
	c, ok := s.Checkpoints[CheckpointKey{group, leg.To}]
	if !ok || int64(c.Up) > offset {
		return found
	}
	by := "by the checkpoint of " + c.At.UTC().Format(time.RFC3339)
	if found.class == stream.Unknown {
		if leg.Way == Home {
			// No more records than offsets lie between the checkpoint and the group.
			return place{at: int64(c.Down), class: stream.Clamped, again: offset - int64(c.Up), reason: by}
		}
		return place{at: int64(c.Down), class: stream.Clamped, again: max(0, s.To.Ends[leg.To]-int64(c.Down)), reason: by}
	}
	gain := int64(c.Down) - found.at
	switch {
	case gain <= 0:
		return found
	case found.tail > 0 && gain <= found.tail: // no more records than offsets lie between the checkpoint and the group
		found.again = min(found.again, offset-int64(c.Up))
	case leg.Way == Home || gain <= found.again:
		found.again = max(0, found.again-gain)
	default:
		return found
	}
	found.at, found.reason = int64(c.Down), join(found.reason, by)
	return found
}

// home goes back over the flow To->From: the group's position is in a copy of a topic of To.
func (s *Situation) home(ctx context.Context, group string, leg Leg, offset int64) (place, error) {
	found := unknown("no map of the flow " + s.Rules.To + "->" + s.Rules.From + " can be read, and there is no checkpoint")
	if s.Home != nil {
		r, err := s.Home.Return(ctx, leg.From, stream.Downstream(offset))
		if err != nil {
			return place{}, fmt.Errorf("return offset %d of %s: %w", offset, leg.From, err)
		}
		found = place{at: int64(r.Offset), class: r.Class, again: r.Again, reason: r.Reason}
	}
	return s.byCheckpoint(group, leg, offset, found), nil
}

// both is for one name on both sides and a mirror in both directions. The order of the two clusters' own records differs
// between them, so reading goes on at the first record, of whichever origin, that the group may not have seen.
func (s *Situation) both(ctx context.Context, group string, leg Leg, offset int64) (place, error) {
	there, err := s.forward(ctx, group, Leg{leg.From, leg.To, Both}, offset)
	if err != nil {
		return place{}, err
	}
	back := unknown("no map of the flow " + s.Rules.To + "->" + s.Rules.From + " can be read")
	if s.Home != nil {
		r, err := s.Home.Return(ctx, leg.From, stream.Downstream(offset))
		if err != nil {
			return place{}, fmt.Errorf("return offset %d of %s: %w", offset, leg.From, err)
		}
		back = place{at: int64(r.Offset), class: r.Class, again: r.Again, reason: r.Reason}
	}
	if back.class == stream.Unknown && s.Home == nil {
		return s.twoWayCheckpoint(group, leg, offset, back), nil
	}
	if s.readToEnd(leg, there) { // then what is not read of From's records is not on To yet
		there.at, there.class = s.To.Ends[leg.To], stream.Exact
	}
	if there.class == stream.Unknown || back.class == stream.Unknown {
		worse := there
		if there.class != stream.Unknown {
			worse = back
		}
		return worse, nil
	}
	low, high := there, back
	if low.at > high.at {
		low, high = high, low
	}
	found := place{at: low.at, class: max(low.class, high.class), again: high.at + high.again - low.at, reason: low.reason}
	if found.reason == "" {
		found.reason = high.reason
	}
	if found.reason == "" && found.again > 0 {
		found.reason = "the records of both clusters are in another order here"
	}
	return found, nil
}

// readToEnd says that a place is the end of the map, and that the map knows all that From held when To's end was seen. To's own
// records may stand far behind the last of From's.
func (s *Situation) readToEnd(leg Leg, found place) bool {
	up, down, ok := s.Map.Covered(leg.To)
	end, known := s.From.Ends[leg.From]
	return ok && known && s.From.Live && int64(up) >= int64(end.End) && found.at >= int64(down) &&
		(found.class == stream.Exact || found.class == stream.Ahead)
}

// twoWayCheckpoint is for a lost From, which alone had the map of the flow To->From. A checkpoint of a topic that goes both ways
// is at the first record, of whichever origin, that the group might not have read.
func (s *Situation) twoWayCheckpoint(group string, leg Leg, offset int64, otherwise place) place {
	c, ok := s.Checkpoints[CheckpointKey{group, leg.To}]
	if !ok || int64(c.Up) > offset {
		return otherwise
	}
	return place{at: int64(c.Down), class: stream.Clamped, again: max(0, s.To.Ends[leg.To]-int64(c.Down)),
		reason: "by the checkpoint of " + c.At.UTC().Format(time.RFC3339)}
}

// bounded keeps a place within the log on To.
func (s *Situation) bounded(leg Leg, found place) place {
	start, end := s.To.Starts[leg.To], s.To.Ends[leg.To]
	if found.at > end {
		found = place{at: end, class: max(found.class, stream.Clamped), reason: fmt.Sprintf("the log on %s ends at %d, before the place at %d", s.Rules.To, end, found.at)}
	}
	if found.at < start {
		found.again = max(0, found.again-(start-found.at))
		found.gone = found.class == stream.Exact
		found.reason = fmt.Sprintf("%s has deleted what is below %d by retention; the place was %d", s.Rules.To, start, found.at)
		found.at, found.class = start, max(found.class, stream.Clamped)
	}
	found.again = min(found.again, end-found.at)
	return found
}
