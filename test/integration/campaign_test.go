package integration

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/testkit/realkafka"
)

var (
	kills = flag.Int("kills", 5, "how often each campaign kills mirror")
	seed  = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the moments and misfortunes of the campaigns")
)

// campaign kills mirror again and again at moments that nobody chose: while it starts, reads, waits for answers.
type campaign struct {
	t          *testing.T
	properties string
	target     side
	remote     string
	written    func() int64        // records that the target must have in the end, so far
	grows      func(records int64) // waits until the source has so many more
	random     *rand.Rand
	misfortune func(*mirrorProcess) // also befalls before a kill; nil: none
}

const (
	soonestKill = 200    // records after the start
	latestKill  = 10_000 // two seconds
	breathEvery = 5      // kills after which mirror may catch up, so that later ones find it live
)

func newCampaign(t *testing.T, target side, remote, properties string) *campaign {
	t.Helper()
	t.Logf("%d kills, -seed %d", *kills, *seed)
	return &campaign{t: t, properties: properties, target: target, remote: remote, random: rand.New(rand.NewPCG(*seed, 1))}
}

func (c *campaign) run() {
	c.t.Helper()
	for n := range *kills {
		m := startMirror(c.t, c.properties)
		c.grows(soonestKill + c.random.Int64N(latestKill-soonestKill))
		if c.misfortune != nil {
			c.misfortune(m)
		}
		if n%breathEvery == breathEvery-1 {
			m.until("records to flow", c.target.reaches(c.remote, c.written()))
			c.grows(c.random.Int64N(soonestKill))
		}
		m.Kill()
	}
}

// end lets a last mirror copy the rest.
func (c *campaign) end(written int64) {
	c.t.Helper()
	m := startMirror(c.t, c.properties)
	m.until("the rest", c.target.reaches(c.remote, written))
	m.stop()
}

func TestCampaignOfKills(t *testing.T) {
	a, b := clusters(t)
	t.Run("batches that pass as they are", func(t *testing.T) {
		killUnderLoad(t, on(t, a.Cluster), on(t, b.Cluster), "soakwhole", nil)
	})
	t.Run("tiny batches that are merged", func(t *testing.T) {
		// Two of these do not fit into one batch.
		killUnderLoad(t, on(t, a.Cluster), on(t, b.Cluster), "soaktiny", make([]byte, 600),
			kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1024))
	})
}

func killUnderLoad(t *testing.T, a, b side, alias string, key []byte, opts ...kgo.Opt) {
	topic, remote := alias+"-numbers", alias+"."+alias+"-numbers"
	a.create(topic, 4, 1, nil)
	w := startWriterWith(a, topic, 4, key, opts...)
	c := newCampaign(t, b, remote, fmt.Sprintf(stopProperties, alias, a.Bootstrap, b.Bootstrap))
	c.grows, c.written = w.grows, w.total
	c.run()
	c.end(w.end())
	w.wantEachOnce(b, remote)
}

// Three of ten transactions are aborted, and a reader of committed records must find neither them nor a gap.
func TestCampaignAmongTransactions(t *testing.T) {
	a, b := clusters(t)
	const topic, remote = "soaktx-numbers", "soaktx.soaktx-numbers"
	a.create(topic, 2, 1, nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	client := a.newClient(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	go func() { done <- transact(ctx, client) }()

	c := newCampaign(t, b, remote, fmt.Sprintf(gapsProperties, "soaktx", a.Bootstrap, b.Bootstrap))
	ends := func() int64 {
		n, err := a.count(topic)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	c.grows = func(records int64) {
		eventually(t, "more transactions", a.reaches(topic, ends()+records))
	}
	c.written = func() int64 { return ends() / 2 } // the rest was aborted, or is a marker
	c.run()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	source := a.read(topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	c.end(int64(total(source)))
	copied := b.read(remote)
	got := count(byPlace(source, copied), lengths(source))
	t.Logf("committed %d of %d, read %d, lost %d, repeated %d, out of order %d",
		total(source), ends(), got.records, got.lost, got.repeated, got.disordered)
	if got != (tally{records: total(source)}) {
		t.Fatalf("%s is not what was committed to %s", remote, topic)
	}
	wantSame(t, source, copied)
}

func lengths(records [][]*kgo.Record) (n []int64) {
	for _, list := range records {
		n = append(n, int64(len(list)))
	}
	return n
}

// byPlace numbers copied records by the places of those of the same value in the source; one that is not there gets no number.
func byPlace(source, copied [][]*kgo.Record) [][]*kgo.Record {
	all := make([][]*kgo.Record, len(copied))
	for p, list := range copied {
		places := make(map[string]int, len(source[p]))
		for i, r := range source[p] {
			places[string(r.Value)] = i
		}
		for _, r := range list {
			number := "nobody's"
			if i, ok := places[string(r.Value)]; ok {
				number = strconv.Itoa(i)
			}
			all[p] = append(all[p], kgo.StringRecord(number))
		}
	}
	return all
}

// On a target of three brokers leaders move and brokers die, too: beside mirror's death, shortly before it, or together with it.
func TestCampaignWithLeadersMoved(t *testing.T) {
	a, _ := clusters(t)
	b := on(t, realkafka.Start(t, realkafka.Options{Brokers: 3, Config: map[string]string{"min.insync.replicas": "2"}}))
	const topic, remote = "soakmoves-numbers", "soakmoves.soakmoves-numbers"
	a.create(topic, 6, 1, nil)
	b.create(remote, 6, 3, nil) // before mirror does, so that its leaders can be moved while mirror starts for the first time
	w := startWriter(a, topic, 6)
	c := newCampaign(t, b, remote, fmt.Sprintf(threeBrokers(outageProperties), "soakmoves", a.Bootstrap, b.Bootstrap))
	c.grows, c.written = w.grows, w.total
	dead, moves, deaths := -1, 0, 0
	revive := func() {
		if dead < 0 {
			return
		}
		if err := b.Restart(dead); err != nil {
			t.Fatal(err)
		}
		dead = -1
		eventually(t, "all replicas", inSync(b, remote, 3))
	}
	c.misfortune = func(*mirrorProcess) {
		switch c.random.IntN(5) {
		case 0:
			revive()
			dead = c.random.IntN(3)
			deaths++
			b.Kill(dead)
			if c.random.IntN(2) == 0 { // mirror sees it, and the election after it; else it dies together with the broker
				w.grows(c.random.Int64N(6 * latestKill))
			}
		case 1, 2:
			revive()
			moves++
			b.moveLeaders(remote, c.random)
			w.grows(c.random.Int64N(latestKill / 4))
		case 3:
			revive()
		}
	}
	c.run()
	revive()
	c.end(w.end())
	t.Logf("%d brokers killed, leaders moved %d times", deaths, moves)
	w.wantEachOnce(b, remote)
}

// moveLeaders gives each partition of a topic the three brokers in another order, and has the first of them lead.
func (s side) moveLeaders(topic string, random *rand.Rand) {
	s.t.Helper()
	described, err := s.describe(topic)
	if err != nil {
		s.t.Fatal(err)
	}
	assign, elect := kmsg.NewPtrAlterPartitionAssignmentsRequest(), kmsg.NewPtrElectLeadersRequest()
	elect.TimeoutMillis = int32(patience.Milliseconds())
	assignTopic, electTopic := kmsg.NewAlterPartitionAssignmentsRequestTopic(), kmsg.NewElectLeadersRequestTopic()
	assignTopic.Topic, electTopic.Topic = topic, topic
	for _, p := range described.Topics[0].Partitions {
		random.Shuffle(len(p.Replicas), func(i, j int) { p.Replicas[i], p.Replicas[j] = p.Replicas[j], p.Replicas[i] })
		replicas := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		replicas.Partition, replicas.Replicas = p.Partition, p.Replicas
		assignTopic.Partitions = append(assignTopic.Partitions, replicas)
		electTopic.Partitions = append(electTopic.Partitions, p.Partition)
	}
	assign.Topics, elect.Topics = append(assign.Topics, assignTopic), append(elect.Topics, electTopic)
	assigned, err := assign.RequestWith(s.t.Context(), s.client)
	if err == nil {
		err = kerr.ErrorForCode(assigned.ErrorCode)
	}
	if err != nil {
		s.t.Fatalf("reassign %s: %v", topic, err)
	}
	if _, err := elect.RequestWith(s.t.Context(), s.client); err != nil { // a partition that has its preferred leader answers with an error of its own
		s.t.Fatalf("elect leaders of %s: %v", topic, err)
	}
}
