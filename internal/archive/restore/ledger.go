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
//	v1/<source>/restores/<id>/finished.json  all is done, and what came out
//
// The id is a digest of what was asked for and of the target cluster's id, and a number: the first is 001.
const (
	planObject     = "plan.json"
	begunObject    = "begun.json"
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
}

// Base is where the records of a restore begin in a target partition.
type Base struct {
	Topic     string            `json:"topic"` // of the target
	Partition int32             `json:"partition"`
	Offset    stream.Downstream `json:"offset"`
}

// Finished is what came out.
type Finished struct {
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"tookNanoseconds"` // of the last run
	Records int64         `json:"records"`         // on the target
	Groups  int           `json:"groups"`
	Left    []string      `json:"groupsLeftAlone,omitempty"`
	Out     LeftOut       `json:"leftOut"` // as the last run saw it
	Open    int           `json:"openTransactions"`
	Lost    []Lost        `json:"lost,omitempty"`
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

	Plan     *Plan // nil: not begun
	Lost     []Lost
	Begun    *Begun
	Finished *Finished
}

// Folder is what the names of all ledgers of a source begin with.
func Folder(source string) string {
	return strings.TrimSuffix(bundle.Folder("", source), "bundles/") + "restores/"
}

// OpenLedger finds the latest restore of what was asked for, or makes the place for the first one. again makes the place for another one,
// where the latest is finished.
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
	if err != nil || l.Finished == nil || !again {
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
	var finished Finished
	for _, o := range []struct {
		name  string
		into  any
		found func()
	}{
		{planObject, &plan, func() { l.Plan = &plan }},
		{begunObject, &begun, func() { l.Begun = &begun }},
		{finishedObject, &finished, func() { l.Finished = &finished }},
	} {
		ok, err := l.read(ctx, o.name, o.into)
		if err != nil {
			return nil, err
		}
		if ok {
			o.found()
		}
	}
	for ok := l.Plan != nil; ok; {
		var lost Lost
		var err error
		if ok, err = l.read(ctx, l.lostName(), &lost); err != nil {
			return nil, err
		}
		if ok {
			l.Lost = append(l.Lost, lost)
		}
	}
	if l.Plan != nil && l.Plan.Version > planVersion {
		return nil, fmt.Errorf("restore %s was begun by a newer version of Tandem; go on with that one", l.ID)
	}
	return l, nil
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

func (l *Ledger) lostName() string { return fmt.Sprintf("lost-%03d.json", len(l.Lost)+1) }

// AddLost notes that a chunk is left out: every run that goes on counts without it.
func (l *Ledger) AddLost(ctx context.Context, lost Lost) error {
	if err := l.write(ctx, l.lostName(), lost); err != nil {
		return err
	}
	l.Lost = append(l.Lost, lost)
	return nil
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
