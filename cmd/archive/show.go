package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

func showCommand() *cobra.Command {
	var s selection
	var path string
	const usage = "archive show FILE BUNDLE, or archive show [FILE] --file PATH"
	cmd := &cobra.Command{
		Use:   "show FILE BUNDLE",
		Short: "Show what stands in one object",
		Long: `show prints all that the end of a bundle says: its chunks with offsets, times, lengths and checksums, its events, its positions. BUNDLE
is the name of the object, or the last part of it. Of a bundle that lies in a local file, outside of the store, say --file PATH;
FILE is needed then only for its key.

` + statusesHelp,
		Example: `  archive show mm2.properties 20261120T145902.123Z-mirror-B-0000000007-0000000042.tdm
  archive show --file ./20261120T145902.123Z-mirror-B-0000000007-0000000042.tdm --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case path == "" && len(args) == 2:
				return showStored(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], s)
			case path != "" && len(args) <= 1:
				return showFile(cmd.Context(), cmd.OutOrStdout(), path, args, s)
			}
			return fmt.Errorf("%d arguments: Usage: %s", len(args), usage)
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&path, "file", "", "a bundle that lies in a local file")
	return cmd
}

func showStored(ctx context.Context, w io.Writer, file, name string, s selection) error {
	a, err := openArchive(ctx, file, s)
	if err != nil {
		return err
	}
	defer a.close()
	if name, err = fullName(a.flow.Source, name); err != nil {
		return err
	}
	src, size, err := store.ReaderAt(ctx, a.store, name)
	if store.Classify(err) == store.NotFound && err != nil {
		return refused{err}
	}
	if err != nil {
		return err
	}
	return showBundle(ctx, w, src, size, bundle.OpenOptions{Name: name, Keeper: a.keeper}, s.json)
}

func showFile(ctx context.Context, w io.Writer, path string, args []string, s selection) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var o bundle.OpenOptions
	if len(args) > 0 {
		a, err := openArchive(ctx, args[0], s)
		if err != nil {
			return err
		}
		defer a.close()
		o.Keeper = a.keeper
	}
	return showBundle(ctx, w, f, info.Size(), o, s.json)
}

// showBundle: what is wrong with the object itself is an answer, and a store that does not read is none.
func showBundle(ctx context.Context, w io.Writer, src io.ReaderAt, size int64, o bundle.OpenOptions, asJSON bool) error {
	r, err := bundle.Open(ctx, src, size, o)
	if err != nil {
		for _, known := range []error{bundle.ErrCorrupt, bundle.ErrNewer, bundle.ErrName, bundle.ErrKey} {
			if errors.Is(err, known) {
				return refused{err}
			}
		}
		return err
	}
	f := r.Footer()
	if asJSON {
		return printJSON(w, shownOf(f))
	}
	_, err = fmt.Fprint(w, f.String())
	return err
}

// fullName finds the folder of a bundle of which only the last part is given: its time says it.
func fullName(source, name string) (string, error) {
	if h, err := bundle.ParseName("", name); err == nil && h.Flow.Source == source {
		return name, nil
	}
	base := name[strings.LastIndexByte(name, '/')+1:]
	if stampText, _, ok := strings.Cut(base, "-"); ok {
		if at, err := time.Parse("20060102T150405.000Z", stampText); err == nil {
			full := bundle.Folder("", source) + at.Format("2006/01/02/15/") + base
			if _, err := bundle.ParseName("", full); err == nil {
				return full, nil
			}
		}
	}
	return "", fmt.Errorf("%s is not the name of a bundle of %s, as in YYYYMMDDThhmmss.mmmZ-WRITER-GENERATION-SEQUENCE.tdm", name, source)
}

// shownFooter is a footer in JSON. Offsets and lengths have the names of docs/archive-format.md.
type shownFooter struct {
	Flow       string          `json:"flow"`
	ClusterID  string          `json:"cluster_id,omitempty"`
	Writer     string          `json:"writer"`
	Generation int64           `json:"generation"`
	Sequence   int64           `json:"sequence"`
	CreatedAt  time.Time       `json:"created_at"`
	KeyID      string          `json:"key_id,omitempty"`
	Bytes      int64           `json:"bytes"`
	Digest     bundle.Digest   `json:"digest"`
	Previous   bundle.Digest   `json:"previous"`
	Chunks     []shownChunk    `json:"chunks"`
	Events     []shownEvent    `json:"events"`
	Positions  []shownPosition `json:"positions"`
}

type shownTopic struct {
	Topic       string `json:"topic"`
	TopicID     string `json:"topic_id"`
	Incarnation int32  `json:"incarnation"`
	Partition   int32  `json:"partition"`
}

type shownChunk struct {
	shownTopic
	LeaderEpoch  int32                `json:"leader_epoch"`
	First        int64                `json:"first"`
	Next         int64                `json:"next"`
	Batches      int64                `json:"batches"`
	Records      int64                `json:"records"`
	Markers      int64                `json:"markers"`
	MinTimestamp int64                `json:"min_timestamp"`
	MinExact     bool                 `json:"min_timestamp_exact"`
	MaxTimestamp int64                `json:"max_timestamp"`
	Position     int64                `json:"position"`
	Stored       int64                `json:"bytes_stored"`
	Plain        int64                `json:"bytes_plain"`
	Compression  string               `json:"compression"`
	CRC          string               `json:"crc"`
	SHA256       bundle.Digest        `json:"sha256"`
	Committed    bool                 `json:"read_committed"`
	Open         []bundle.Transaction `json:"open,omitempty"`
	Aborted      []bundle.Aborted     `json:"aborted,omitempty"`
}

type shownEvent struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"`
	Text  string    `json:"text"`
	Event any       `json:"event"`
}

type shownPosition struct {
	shownTopic
	Next        int64                `json:"next"`
	LeaderEpoch int32                `json:"leader_epoch"`
	Open        []bundle.Transaction `json:"open,omitempty"`
}

func shownOf(f bundle.Footer) shownFooter {
	h := f.Header
	out := shownFooter{
		Flow: h.Flow.String(), ClusterID: h.ClusterID, Writer: h.Writer, Generation: h.Generation, Sequence: h.Sequence, CreatedAt: h.CreatedAt,
		KeyID: h.KeyID, Bytes: f.Size, Digest: f.Digest, Previous: f.Previous,
		Chunks: []shownChunk{}, Events: []shownEvent{}, Positions: []shownPosition{},
	}
	topic := func(t bundle.Topic, partition int32) shownTopic {
		return shownTopic{t.Name, fmt.Sprintf("%x", t.ID), t.Incarnation, partition}
	}
	for _, e := range f.Chunks {
		out.Chunks = append(out.Chunks, shownChunk{
			shownTopic: topic(e.Topic, e.Partition), LeaderEpoch: e.LeaderEpoch, First: int64(e.First), Next: int64(e.Next),
			Batches: e.Batches, Records: e.Records, Markers: e.Markers,
			MinTimestamp: e.MinTimestamp, MinExact: e.MinExact, MaxTimestamp: e.MaxTimestamp,
			Position: e.Position, Stored: e.Stored, Plain: e.Plain, Compression: e.Compression.String(),
			CRC: fmt.Sprintf("%08x", e.CRC), SHA256: e.SHA256, Committed: e.Committed, Open: e.Open, Aborted: e.Aborted,
		})
	}
	for _, e := range f.Events {
		out.Events = append(out.Events, shownEvent{e.At, e.Kind().String(), e.Body.String(), e.Body})
	}
	for _, p := range f.Positions {
		out.Positions = append(out.Positions, shownPosition{topic(p.Topic, p.Partition), int64(p.Next), p.LeaderEpoch, p.Open})
	}
	return out
}
