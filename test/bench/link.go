package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/testkit/realkafka"
)

const (
	linkJob  = "link"
	linkRoom = 512 << 20 // bytes of a topic that is copied over it
)

// linkTrips are the round trips of the links that are tried.
var linkTrips = []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond}

// runLink copies topics of one and of twelve partitions from a source that is far away; the mirror is beside the target.
func (b *bench) runLink(ctx context.Context, f flags, report *report) (err error) {
	far := &delays{}
	defer far.close()
	kafka, err := realkafka.StartCluster(filepath.Join(b.dir, "far"), realkafka.Options{
		JVM: brokerJVM, Config: map[string]string{"log.retention.ms": "-1"},
		Advertise: func(_ int, address string) (string, error) { return far.listen(address) },
	})
	if err != nil {
		return err
	}
	defer kafka.Stop()
	own := *b
	r := &recovering{bench: &own, room: int64(linkRoom * f.scale), seen: report}
	if r.mirror, err = b.program(ctx, "./cmd/mirror"); err != nil {
		return err
	}
	for to, address := range map[**cluster]string{&own.a: kafka.Direct, &own.b: b.b.kafka.Bootstrap} {
		client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.MetadataMinAge(pollInterval), kgo.MaxVersions(kversion.V4_0_0()))
		if err != nil {
			return err
		}
		defer client.Close()
		*to = &cluster{kafka: (*to).kafka, client: client}
	}
	own.a.kafka = kafka
	for _, topic := range bigTopics {
		w, err := r.writeBig(ctx, topic)
		if err != nil {
			return err
		}
		for range f.repeat {
			for _, trip := range linkTrips {
				far.set(trip / 2)
				if err := r.overLink(ctx, topic, w, trip); err != nil {
					return err
				}
			}
		}
		far.set(0)
	}
	return nil
}

func (r *recovering) overLink(ctx context.Context, topic bigTopic, w written, trip time.Duration) error {
	m, err := r.newMirrored("link", topic.name, 0)
	if err != nil {
		return err
	}
	defer m.kill()
	p, err := m.start(ctx)
	if err != nil {
		return err
	}
	var first time.Time
	if err := until(ctx, "the copy", func() error {
		ends, err := r.b.ends(ctx, m.remoteOf(topic.name), topic.partitions)
		sum := 0
		for _, end := range ends {
			sum += int(end)
		}
		if sum > 0 && first.IsZero() {
			first = time.Now()
		}
		if err == nil && sum < w.records {
			err = fmt.Errorf("%d of %d records", sum, w.records)
		}
		return errors.Join(err, m.ended())
	}); err != nil {
		return err
	}
	wall := time.Since(first)
	peak, err := p.PeakRSS()
	if err != nil {
		return err
	}
	m.stop()
	of := fmt.Sprintf("%s of lz4 batches, partitions: %d, round trip %d ms", megabytes(int64(w.bytes)), topic.partitions, trip.Milliseconds())
	r.note("link to the source", "rate, first record to last", of, "MB/s", float64(w.bytes)/1e6/wall.Seconds())
	r.note("link to the source", "peak memory of mirror", of, "MB", float64(peak)/1e6)
	return r.b.deleteTopic(ctx, m.remoteOf(topic.name))
}

// delays stand before brokers and hold back what passes, in both directions.
type delays struct {
	mu        sync.Mutex
	delay     time.Duration
	listeners []net.Listener
}

func (d *delays) set(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

func (d *delays) now() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.delay
}

// listen opens an address that leads to another one.
func (d *delays) listen(to string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", to, err)
	}
	d.listeners = append(d.listeners, l)
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return // closed
			}
			go d.connect(from, to)
		}
	}()
	return l.Addr().String(), nil
}

func (d *delays) close() {
	for _, l := range d.listeners {
		_ = l.Close()
	}
}

func (d *delays) connect(from net.Conn, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		_ = from.Close()
		return
	}
	go d.pass(from, to)
	d.pass(to, from)
}

// pass copies one way until either side has ended.
func (d *delays) pass(from, to net.Conn) {
	type piece struct {
		due   time.Time
		bytes []byte
	}
	way := make(chan piece, 1<<14) // as much as is on its way over a long fast link
	go func() {
		defer close(way)
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				way <- piece{time.Now().Add(d.now()), append([]byte(nil), buffer[:n]...)}
			}
			if err != nil {
				return // as far as this way is concerned
			}
		}
	}()
	for p := range way {
		<-time.After(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	_ = from.Close()
	_ = to.Close()
	for range way { // the reader ends, since its connection is closed
	}
}
