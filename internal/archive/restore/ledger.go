package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

// Store is where the ledger is kept: see store.Store for the contracts.
type Store interface {
	Put(ctx context.Context, name string, body store.Body) error
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix, startAfter string) iter.Seq2[store.Info, error]
}

// The objects of a restore, which are created in this order and never changed. What is not there has not been done, or is done again
// in vain:
//
//	v1/<source>/restores/<id>/plan.json      what it sets out to do
//	v1/<source>/restores/<id>/begun.json     topics are there: producer id, and where records begin in each target partition
//	v1/<source>/restores/<id>/lost-001.json  a chunk that could not be read and is left out; the next one is 002
//	v1/<source>/restores/<id>/written.json   the records are on the target: from here on the archive is not read again
//	v1/<source>/restores/<id>/groups-001.json   groups that got their positions; what a later run does is in 002
//	v1/<source>/restores/<id>/finished.json  all is done, and what came out
//	v1/<source>/restores/<id>/stuck.json     it cannot go on: --again may begin anew
//
// The id is a digest of what was asked for and of the target cluster's id, and a number: the first is 001.
const (
	planObject     = "plan.json"
	begunObject    = "begun.json"
	writtenObject  = "written.json"
	stuckObject    = "stuck.json"
	finishedObject = "finished.json"

	objectLimit = 256 << 20 // bytes that are read of one
	attempts    = 999
)

// Begun is what is noted before the first record is written.
type Begun struct {
	ProducerID int64     `json:"producerId"`
	Epoch      int16     `json:"producerEpoch"`
	At         time.Time `json:"at"`
	Bases      []Base    `json:"partitions"`

	Topics map[string]string `json:"topicIds,omitempty"` // of the target, by name: one that was made anew since has another
}

// Base is where the records of a restore begin in a target partition.
type Base struct {
	Topic     string            `json:"topic"` // of the target
	Partition int32             `json:"partition"`
	Offset    stream.Downstream `json:"offset"`
}

// Written is what came out of the records.
type Written struct {
	At      time.Time   `json:"at"`
	Records int64       `json:"records"` // on the target
	Out     LeftOut     `json:"leftOut"` // by the run that ended it
	Resumed bool        `json:"resumed"` // that run went on with an earlier one, which Out does not count
	Open    int         `json:"openTransactions"`
	Lost    []Lost      `json:"lost,omitempty"`
	Groups  []Positions `json:"groups,omitempty"`
	Clamped []string    `json:"groupsClamped,omitempty"` // positions that are not just those of the source, in words
}

// Positions are those of a group on the target.
type Positions struct {
	Name    string     `json:"group"`
	Offsets []Position `json:"offsets"`
}

// Position is that of a group in a partition of the target.
type Position struct {
	Base
	Metadata string `json:"metadata,omitempty"`
}

// Committed are groups that a run has dealt with for good.
type Committed struct {
	Groups []string          `json:"groups"`                    // they got their positions
	Kept   map[string]string `json:"groupsLeftAlone,omitempty"` // they keep their own, and why
}

// Finished is what came out.
type Finished struct {
	At      time.Time         `json:"at"`
	Took    time.Duration     `json:"tookNanoseconds"` // of the last run
	Records int64             `json:"records"`         // on the target
	Groups  int               `json:"groups"`
	Left    map[string]string `json:"groupsLeftAlone,omitempty"` // by name, and why
	Out     LeftOut           `json:"leftOut"`                   // as the last run saw it
	Open    int               `json:"openTransactions"`
	Lost    []Lost            `json:"lost,omitempty"`
}

// Lost is a chunk that could not be read.
type Lost struct {
	Object    string          `json:"object"`
	Chunk     int             `json:"chunk"`
	Topic     string          `json:"topic"` // of the source
	Partition int32           `json:"partition"`
	From      stream.Upstream `json:"from"`
	To        stream.Upstream `json:"to"`
	Why       string          `json:"why"`
}

// Ledger is that of one restore.
type Ledger struct {
	st     Store
	folder string
	ID     string

	Plan      *Plan // nil: not begun
	Lost      []Lost
	Begun     *Begun
	Written   *Written // nil: records are missing
	Committed []Committed
	Finished  *Finished
	Stuck     string // why it cannot go on; empty: it can, as far as is known
}

// Folder is what the names of all ledgers of a source begin with.
func Folder(source string) string {
	return strings.TrimSuffix(bundle.Folder("", source), "bundles/") + "restores/"
}

// OpenLedger finds the latest restore of what was asked for, or makes the place for the first one. again makes the place for another one,
// where the latest is finished, or cannot go on.
func OpenLedger(ctx context.Context, st Store, source, asked, cluster string, again bool) (*Ledger, error) {
	sum := sha256.Sum256([]byte(asked + "\x00" + cluster))
	base := Folder(source) + fmt.Sprintf("%x", sum[:8]) + "-"
	last := 0
	for info, err := range st.List(ctx, base, "") {
		if err != nil {
			return nil, fmt.Errorf("look for earlier restores: %w", err)
		}
		number, _, _ := strings.Cut(strings.TrimPrefix(info.Name, base), "/")
		if n, err := strconv.Atoi(number); err == nil {
			last = max(last, n)
		}
	}
	l, err := readLedger(ctx, st, base, max(last, 1))
	if err != nil || l.Finished == nil && l.Stuck == "" || !again {
		return l, err
	}
	if last >= attempts {
		return nil, fmt.Errorf("%d restores of one kind are in %s", last, Folder(source))
	}
	return readLedger(ctx, st, base, last+1)
}

func readLedger(ctx context.Context, st Store, base string, number int) (*Ledger, error) {
	folder := fmt.Sprintf("%s%03d/", base, number)
	l := &Ledger{st: st, folder: folder, ID: strings.TrimSuffix(folder[strings.LastIndex(strings.TrimSuffix(folder, "/"), "/")+1:], "/")}
	var plan Plan
	var begun Begun
	var written Written
	var finished Finished
	for _, o := range []struct {
		name  string
		into  any
		found func()
	}{
		{planObject, &plan, func() { l.Plan = &plan }},
		{begunObject, &begun, func() { l.Begun = &begun }},
		{writtenObject, &written, func() { l.Written = &written }},
		{finishedObject, &finished, func() { l.Finished = &finished }},
		{stuckObject, &l.Stuck, func() {}},
	} {
		ok, err := l.read(ctx, o.name, o.into)
		if err != nil {
			return nil, err
		}
		if ok {
			o.found()
		}
	}
	if l.Plan != nil {
		var err error
		if l.Lost, err = readAll(ctx, l, lostName, l.Lost); err != nil {
			return nil, err
		}
		if l.Committed, err = readAll(ctx, l, committedName, l.Committed); err != nil {
			return nil, err
		}
	}
	if l.Plan != nil && l.Plan.Version > planVersion {
		return nil, fmt.Errorf("restore %s was begun by a newer version of Tandem; go on with that one", l.ID)
	}
	return l, nil
}

func lostName(n int) string      { return fmt.Sprintf("lost-%03d.json", n) }
func committedName(n int) string { return fmt.Sprintf("groups-%03d.json", n) }

// readAll reads numbered objects, from 1 on.
func readAll[T any](ctx context.Context, l *Ledger, name func(int) string, list []T) ([]T, error) {
	for {
		var one T
		ok, err := l.read(ctx, name(len(list)+1), &one)
		if err != nil || !ok {
			return list, err
		}
		list = append(list, one)
	}
}

func (l *Ledger) read(ctx context.Context, name string, into any) (bool, error) {
	body, err := l.st.Get(ctx, l.folder+name, 0, -1)
	if store.Classify(err) == store.NotFound && err != nil {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s%s: %w", l.folder, name, err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, objectLimit+1))
	switch {
	case err != nil && store.Classify(err) == store.NotFound:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read %s%s: %w", l.folder, name, err)
	case len(b) > objectLimit:
		return false, fmt.Errorf("read %s%s: it has more than %d bytes", l.folder, name, objectLimit)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return false, fmt.Errorf("read %s%s: %w", l.folder, name, err)
	}
	return true, nil
}

var errElsewhere = errors.New("another process is at the same restore; wait for it, or stop it")

// write creates an object. One that is there already says otherwise: somebody else was faster.
func (l *Ledger) write(ctx context.Context, name string, what any) error {
	b, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return err
	}
	err = l.st.Put(ctx, l.folder+name, bytes.NewReader(b))
	if store.Classify(err) == store.Conflict && err != nil {
		err = errElsewhere
	}
	if err != nil {
		return fmt.Errorf("note %s%s: %w", l.folder, name, err)
	}
	return nil
}

// SetPlan notes the plan. From then on the same command goes on with it.
func (l *Ledger) SetPlan(ctx context.Context, p *Plan) error {
	if err := l.write(ctx, planObject, p); err != nil {
		return err
	}
	l.Plan = p
	return nil
}

// SetBegun notes where records begin.
func (l *Ledger) SetBegun(ctx context.Context, b *Begun) error {
	if err := l.write(ctx, begunObject, b); err != nil {
		return err
	}
	l.Begun = b
	return nil
}

// AddLost notes that a chunk is left out: every run that goes on counts without it.
func (l *Ledger) AddLost(ctx context.Context, lost Lost) error {
	if err := l.write(ctx, lostName(len(l.Lost)+1), lost); err != nil {
		return err
	}
	l.Lost = append(l.Lost, lost)
	return nil
}

// SetWritten notes that the records are on the target, and the positions that groups get.
func (l *Ledger) SetWritten(ctx context.Context, w *Written) error {
	if err := l.write(ctx, writtenObject, w); err != nil {
		return err
	}
	l.Written = w
	return nil
}

// AddCommitted notes groups that are not touched again.
func (l *Ledger) AddCommitted(ctx context.Context, c Committed) error {
	if err := l.write(ctx, committedName(len(l.Committed)+1), c); err != nil {
		return err
	}
	l.Committed = append(l.Committed, c)
	return nil
}

// SetStuck notes that the restore cannot go on. It may be tried all the same.
func (l *Ledger) SetStuck(ctx context.Context, why string) error {
	err := l.write(ctx, stuckObject, why)
	if errors.Is(err, errElsewhere) { // it was noted before
		err = nil
	}
	if err == nil {
		l.Stuck = why
	}
	return err
}

// SetFinished notes the end. Where another process has noted it, nothing is to be done.
func (l *Ledger) SetFinished(ctx context.Context, f *Finished) error {
	err := l.write(ctx, finishedObject, f)
	if errors.Is(err, errElsewhere) {
		err = nil
	}
	if err == nil {
		l.Finished = f
	}
	return err
}
