package offsetsync

import (
	"context"
	"errors"
	"testing"

	"tandem/internal/stream"
)

type logAt struct {
	topic     string
	partition int32
	offset    int64
	err       error
}

func (l *logAt) ReadAt(_ context.Context, topic string, partition int32, offset int64) (stream.Record, error) {
	l.topic, l.partition, l.offset = topic, partition, offset
	return stream.Record{Offset: offset}, l.err
}

func TestTopic(t *testing.T) {
	missing, away := errors.New("missing"), errors.New("away")
	for _, c := range []struct{ err, is error }{{nil, nil}, {missing, ErrGone}, {away, away}} {
		log := &logAt{err: c.err}
		topic := Topic{Log: log, Name: "mm2-tandem.A.internal", Gone: func(err error) bool { return errors.Is(err, missing) }}
		r, err := topic.Segment(t.Context(), 17)
		if !errors.Is(err, c.is) || !errors.Is(err, c.err) || errors.Is(err, ErrGone) != errors.Is(c.is, ErrGone) {
			t.Errorf("%v becomes %v", c.err, err)
		}
		if r.Offset != 17 || log.topic != "mm2-tandem.A.internal" || log.partition != 0 {
			t.Errorf("%+v, %+v", r, log)
		}
	}
}
