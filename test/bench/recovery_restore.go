package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

const (
	restored    = "restore"
	deleted     = "topic deleted on the source"
	batchesEach = 16 // different ones of a topic that is restored
	bigBatch    = 260

	rateTime = 3 * time.Second // a rate of less is not multiplied
)

// bigTopics are what is restored.
var bigTopics = []bigTopic{{"one", 1}, {"twelve", 12}}

type bigTopic struct {
	name       string
	partitions int
}

// restores archives two topics into a folder and into an S3 server, and brings them back into a cluster that does not have them.
func (r *recovering) restores(ctx context.Context, f flags) error {
	say("%s: writing two topics of %s", recoveryJob, megabytes(r.room))
	sizes := map[string]written{}
	for _, topic := range bigTopics {
		w, err := r.writeBig(ctx, topic)
		if err != nil {
			return err
		}
		sizes[topic.name] = w
	}
	s3, stop, err := startS3(filepath.Join(r.dir, "s3-recovery"))
	if err != nil {
		return err
	}
	defer stop()
	places := []place{{name: "folder", dir: folderOf, url: func(t task) (string, error) {
		return "file://" + folderOf(t), os.Mkdir(folderOf(t), 0o755)
	}}, {name: "S3", url: s3.url, dir: s3.dir}}
	var flows []*mirrored
	group, storing := errgroup.WithContext(ctx)
	for _, p := range places {
		m, held, err := r.archiveBig(storing, p, sizes)
		if err != nil {
			return err
		}
		defer m.kill()
		flows = append(flows, m)
		group.Go(held)
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for range f.repeat {
		for i, m := range flows {
			for _, topic := range bigTopics {
				if err := r.restoreBig(ctx, m, places[i].name, topic, sizes[topic.name]); err != nil {
					return err
				}
			}
		}
	}
	for _, topic := range bigTopics {
		if err := r.a.deleteTopic(ctx, topic.name); err != nil {
			return err
		}
	}
	return nil
}

// writeBig fills a topic with lz4 batches of job L's records, a few of them over and over.
func (r *recovering) writeBig(ctx context.Context, topic bigTopic) (w written, err error) {
	n := topic.partitions
	if err := r.a.createTopicOf(ctx, topic.name, n); err != nil {
		return w, err
	}
	compressor := lz4.NewWriter(nil)
	if err := compressor.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
		return w, err
	}
	var batches [][]byte
	for i := range batchesEach {
		var records []*kgo.Record
		for j := range bigBatch {
			records = append(records, record(topic.name, i*bigBatch+j))
		}
		batch, err := encodeBatch(records, "lz4", compressor)
		if err != nil {
			return w, err
		}
		batches = append(batches, batch)
	}
	share := r.room / int64(n)
	all := make([]written, n)
	group, ctx := errgroup.WithContext(ctx)
	for p := range n {
		group.Go(func() error {
			for i := p; int64(all[p].bytes) < share; i++ {
				batch := batches[i%len(batches)]
				if err := produceBatch(ctx, r.a.client, topic.name, int32(p), append([]byte(nil), batch...)); err != nil {
					return err
				}
				all[p].bytes, all[p].records = all[p].bytes+len(batch), all[p].records+bigBatch
			}
			return nil
		})
	}
	err = group.Wait()
	for _, one := range all {
		w.bytes, w.records = w.bytes+one.bytes, w.records+one.records
	}
	return w, err
}

// archiveBig starts a flow that archives and does not replicate; what it returns waits until all is archived, and stops it.
func (r *recovering) archiveBig(ctx context.Context, p place, sizes map[string]written) (*mirrored, func() error, error) {
	m, err := r.newMirrored("big", "one,twelve", 0)
	if err != nil {
		return nil, nil, err
	}
	at := task{dir: m.dir, alias: m.alias}
	if p.name == "folder" {
		if err := os.RemoveAll(m.folder); err != nil {
			return nil, nil, err
		}
	}
	url, err := p.url(at)
	if err != nil {
		return nil, nil, err
	}
	more := m.alias + "->" + m.target() + ".archive.enabled = true\narchive.url = " + url + "\n"
	if err := m.write(r.a.kafka.Bootstrap, r.b.kafka.Bootstrap, "one,twelve", false, more); err != nil {
		return nil, nil, err
	}
	if _, err := m.start(ctx); err != nil {
		return nil, nil, err
	}
	want := 0
	for _, w := range sizes {
		want += w.records
	}
	return m, func() error {
		_, err := archiveHolds(ctx, p.dir(at), want, m.running[0].Process)
		m.stop()
		return err
	}, nil
}

func (r *recovering) restoreBig(ctx context.Context, m *mirrored, where string, topic bigTopic, w written) error {
	r.bench.runs++
	dir := filepath.Join(r.dir, fmt.Sprintf("run-%d-restore", r.bench.runs))
	ran, err := r.runWatched(ctx, dir, watched{topic.name, topic.partitions, w.records}, r.archive, "restore", m.config, "--to", m.target(), "--topics", topic.name, "--no-groups",
		"--keep-old", "--again", "--yes")
	if err != nil {
		return err
	}
	of := fmt.Sprintf("%s of lz4 batches, partitions: %d, from %s", megabytes(int64(w.bytes)), topic.partitions, where)
	rate := float64(w.bytes) / 1e6 / ran.wall.Seconds()
	r.seconds(restored, "start to first record", of, ran.toFirst)
	r.seconds(restored, "start to end", of, ran.total)
	r.note(restored, "rate, first record to last", of, "MB/s", rate)
	r.note(restored, "CPU", of, "s", ran.cpu.Seconds())
	r.note(restored, "peak memory", of, "MB", float64(ran.peak)/1e6)
	if ran.wall >= rateTime {
		r.note(restored, "computed from the rate: 1 TB", of, "h", 1e6/rate/3600)
	}
	return r.b.deleteTopic(ctx, topic.name)
}

// deletions deletes a topic under load, and brings it back as of the second before, which the archive first has to have.
func (r *recovering) deletions(ctx context.Context, _ flags) error {
	if _, err := r.long.start(ctx); err != nil {
		return err
	}
	if err := r.caughtUp(ctx, r.long); err != nil {
		return err
	}
	for i := range r.runs {
		if err := r.deletion(ctx, fmt.Sprintf("gone-%d", i)); err != nil {
			return err
		}
	}
	r.long.stop()
	return nil
}

func (r *recovering) deletion(ctx context.Context, topic string) error {
	if err := r.a.createTopic(ctx, topic); err != nil {
		return err
	}
	written := &ledger{}
	producing, err := r.a.startLoad(topic, r.rate, written)
	if err != nil {
		return err
	}
	defer producing.abandon()
	// From then on it is an ordinary topic of the flow.
	if err := until(ctx, topic+" to be replicated", func() error {
		ends, err := r.b.ends(ctx, r.long.remoteOf(topic), partitions)
		for _, end := range ends {
			if end == 0 {
				err = errors.New("nothing is there")
			}
		}
		return errors.Join(err, r.long.ended())
	}); err != nil {
		return err
	}
	if err := rest(ctx, settleLoad); err != nil {
		return err
	}
	deletion := time.Now()
	if err := r.a.deleteTopic(ctx, topic); err != nil {
		return err
	}
	producing.abandon()
	asOf := deletion.Add(-time.Second).UTC().Truncate(time.Millisecond)
	records, next := written.before(asOf)
	if err := until(ctx, "all of it to be in the archive", func() error {
		durable, err := r.long.archived(ctx, topic)
		for p := range next {
			if durable[p] < next[p] {
				err = fmt.Errorf("%s/%d is archived up to %d of %d", topic, p, durable[p], next[p])
			}
		}
		return errors.Join(err, r.long.ended())
	}); err != nil {
		return err
	}
	r.seconds(deleted, "until its last second is durable in the archive", "", time.Since(deletion))
	took, err := r.command(ctx, r.archive, "restore", r.long.config, "--to", r.long.alias, "--topics", topic, "--no-groups",
		"--until", asOf.Format(time.RFC3339Nano), "--yes")
	if err != nil {
		return err
	}
	r.seconds(deleted, "restore", fmt.Sprintf("%d partitions", partitions), took)
	r.seconds(deleted, "from the deletion to restored, as of the second before", "", time.Since(deletion))
	ends, err := r.a.ends(ctx, topic, partitions)
	if err != nil {
		return err
	}
	there := 0
	for _, end := range ends {
		there += int(end)
	}
	if there != records {
		return fmt.Errorf("%d records were restored, %d were acknowledged with timestamps up to %s", there, records, asOf.Format(time.RFC3339Nano))
	}
	return r.a.deleteTopic(ctx, topic)
}
