package compact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"tandem/internal/batch"
)

// prover compares batches record by record.
type prover struct {
	old, new *batch.Shaper
	had      []batch.Record
}

func newProver() *prover { return &prover{old: batch.NewShaper(), new: batch.NewShaper()} }

var errDiffers = errors.New("what was written differs from what was read: nothing was removed")

// same says whether two rows of batches are the same records: batch for batch, and in each record for record. It returns how many.
func (p *prover) same(old, made []byte) (n int64, err error) {
	for len(old) > 0 {
		a, rest, err := batch.Next(old)
		if err != nil {
			return n, err
		}
		old = rest
		b, rest, err := batch.Next(made)
		if err != nil {
			return n, fmt.Errorf("batch at %d: %w: %w", a.BaseOffset(), err, errDiffers)
		}
		made = rest
		if bytes.Equal(a.Bytes(), b.Bytes()) {
			n += max(0, int64(a.Records()))
			continue
		}
		if err := p.batch(a, b); err != nil {
			return n, fmt.Errorf("batch at %d: %w", a.BaseOffset(), err)
		}
		n += int64(a.Records())
	}
	if len(made) > 0 {
		return n, fmt.Errorf("%d bytes behind the last batch: %w", len(made), errDiffers)
	}
	return n, nil
}

func (p *prover) batch(a, b batch.View) error {
	if err := b.Verify(); err != nil {
		return fmt.Errorf("%w: %w", err, errDiffers)
	}
	if !bytes.Equal(plainHeader(a), plainHeader(b)) {
		return fmt.Errorf("its header: %w", errDiffers)
	}
	p.had = p.had[:0]
	err := p.old.Records(a, func(r batch.Record) error {
		p.had = append(p.had, r)
		return nil
	})
	if err != nil {
		return err
	}
	i := 0
	err = p.new.Records(b, func(r batch.Record) error {
		if i >= len(p.had) {
			return errDiffers
		}
		h := p.had[i]
		if h.Offset != r.Offset || h.Timestamp != r.Timestamp || h.Attributes != r.Attributes || !bytes.Equal(h.Body, r.Body) {
			return fmt.Errorf("record at %d: %w", h.Offset, errDiffers)
		}
		i++
		return nil
	})
	if err == nil && i != len(p.had) {
		err = errDiffers
	}
	return err
}

// plainHeader is a batch's header without what compression changes: length, CRC and codec.
func plainHeader(v batch.View) []byte {
	h := bytes.Clone(v.Bytes()[:min(batch.HeaderSize, len(v.Bytes()))])
	if v.Magic() == 2 {
		binary.BigEndian.PutUint32(h[atLength:], 0)
		binary.BigEndian.PutUint32(h[atCRC:], 0)
		binary.BigEndian.PutUint16(h[atAttributes:], binary.BigEndian.Uint16(h[atAttributes:])&^codecBits)
	}
	return h
}
