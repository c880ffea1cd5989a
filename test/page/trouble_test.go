package page

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tandem/internal/testkit/browser"
	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
	"tandem/internal/testkit/s3"
	"tandem/internal/testkit/wait"
)

const (
	patience = 3 * time.Minute // for what has no bound of its own
	promise  = 5 * time.Second // from an event to the page and /readyz
	attempts = 3               // on a machine that others load: the promise is not widened, the case is played again
)

const properties = `
clusters = east, west
east.bootstrap.servers = %s
west.bootstrap.servers = %s
east->west.enabled = true
east->west.topics = orders
east->west.archive.enabled = true
archive.url = %s
archive.flush.interval.ms = 200
replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
config.storage.replication.factor = 1
status.storage.replication.factor = 1
refresh.topics.interval.seconds = 1
emit.checkpoints.interval.seconds = 1
sync.group.offsets.enabled = true
sync.group.offsets.interval.seconds = 1
sync.topic.configs.enabled = false
status.address = 127.0.0.1:0
`

// trouble is something that happens to a running mirror.
type trouble struct {
	name    string
	begin   func()
	end     func()
	alert   string // that /readyz and the page name
	where   string // and what is affected
	ready   bool   // it is no reason to be not ready
	section string // of the page, which says it too
	says    string // a regular expression
}

// TestThePageTellsTheTruth: a real mirror between real brokers, with an archive on a real object store, gets into trouble. The page in a
// real browser and /readyz say so within five seconds, and take it back when it is over.
func TestThePageTellsTheTruth(t *testing.T) {
	east, west := cluster(t), cluster(t)
	store := s3.Start(t)
	store.Bucket(t, "page", false)
	east.create("orders", 2)
	east.write("orders", 0, 200, 100)
	east.write("orders", 1, 200, 100)
	east.commit("shoppers", "orders", 0, 150)
	m := start(t, fmt.Sprintf(properties, east.Bootstrap, west.Bootstrap, s3.URL(store.Endpoint(), "page", "")))
	tab := browser.Start(t).Tab(t, desk)
	tab.Open(m.url())
	m.well(tab)
	shots(tab, "real-well")

	for _, c := range []trouble{
		{name: "source killed", begin: func() { east.Kill(0) }, end: func() { east.must(east.Restart(0)) },
			alert: "TandemStandsStill", where: "orders/", section: "#flows", says: `stands? still`},
		{name: "archive store stopped", begin: store.Stop, end: func() { east.must(store.Restart()) },
			alert: "TandemArchiveStoreErrors", where: "store", ready: true, section: "#archive", says: `store does not answer`},
		{name: "group ahead", begin: func() { east.commit("shoppers", "orders", 0, 1_000_000) }, end: func() { east.commit("shoppers", "orders", 0, 150) },
			alert: "TandemGroupAhead", where: "shoppers", ready: true, section: "#groups", says: `1 position ahead`},
		{name: "partition quarantined", begin: func() {
			west.limit("east.orders", "2000")
			east.write("orders", 1, 1, 100_000)
		}, end: func() { west.limit("east.orders", "1000000") },
			alert: "TandemQuarantine", where: "orders/1", section: "#partitions", says: `quarantined, stands still`},
	} {
		t.Run(c.name, func(t *testing.T) { m.suffers(t, tab, c) })
	}

	t.Run("mirror killed", func(t *testing.T) {
		m.Kill()
		t.Logf("said after %v", holds(t, tab, `document.querySelector("h1").textContent.startsWith("No answer since")`, promise))
		shots(tab, "real-no-answer")
	})
	for _, r := range tab.Requests() {
		if !strings.HasPrefix(r, m.url()) && !strings.HasPrefix(r, "data:image/svg+xml,") {
			t.Errorf("the page has asked for %s", r)
		}
	}
}

// suffers plays a case until its promise is kept, and wants that it is over some time after its end.
func (m *mirror) suffers(t *testing.T, tab *browser.Tab, c trouble) {
	for attempt := 1; ; attempt++ {
		end := sync.OnceFunc(c.end)
		defer end() // the next case does not begin in the trouble of this one
		c.begin()
		page, ready := m.told(tab, c)
		t.Logf("%s: said by the page after %v, by /readyz after %v", c.name, page, ready)
		kept := page <= promise && ready <= promise
		if kept {
			tab.Do(`document.querySelector("` + c.section + `").scrollIntoView()`) // the table of partitions is asked for when it is seen
			until(t, tab, `new RegExp(`+quoted(c.says)+`).test(document.querySelector("`+c.section+`").innerText)`)
			shots(tab, "real-"+strings.ReplaceAll(c.name, " ", "-"))
		}
		end()
		m.well(tab)
		if kept {
			return
		}
		if attempt == attempts {
			t.Fatalf("not within %v, in %d attempts", promise, attempts)
		}
	}
}

// told is how long it takes the page and /readyz to say what is wrong.
func (m *mirror) told(tab *browser.Tab, c trouble) (page, ready time.Duration) {
	m.t.Helper()
	began := time.Now()
	says := "Boolean(" + fmt.Sprintf(`[...document.querySelectorAll("#verdict li")].some(l => l.innerText.includes(%s) && l.innerText.includes(%s))`, quoted(c.alert), quoted(c.where)) + ")"
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for page == 0 || ready == 0 {
		if page == 0 && browser.Eval[bool](tab, says) {
			page = time.Since(began)
		}
		if page > 0 { // not before: who asks makes the process look, and the page must do without that help
			if code, body := m.readyz(); (code == http.StatusOK) == c.ready && strings.Contains(body.text(c.alert), c.where) {
				ready = time.Since(began)
			}
		}
		if time.Since(began) > patience {
			_, body := m.readyz()
			m.t.Fatalf("%s: neither in %v: %+v\nthe page says:\n%.2000s", c.name, patience, body, tab.Text("main"))
		}
		<-tick.C
	}
	return page, ready
}

// well waits until nothing is wrong, as far as the page and /readyz know.
func (m *mirror) well(tab *browser.Tab) {
	m.t.Helper()
	holds(m.t, tab, `document.querySelector("h1")?.textContent === "All is well"`, patience)
	m.until("/readyz to be well", func() error {
		if code, body := m.readyz(); code != http.StatusOK || len(body.Problems) > 0 {
			return fmt.Errorf("%d %+v", code, body)
		}
		return nil
	})
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready    bool
	Problems []struct{ Severity, Alert, Flow, Where, What string }
}

// text is that of the problems of an alert.
func (r readiness) text(alert string) (text string) {
	for _, p := range r.Problems {
		if p.Alert == alert {
			text += p.Where + " " + p.What + "\n"
		}
	}
	return text
}

// mirror is a running mirror.
type mirror struct {
	*proc.Process
	t       *testing.T
	address string
}

// start builds mirror and runs it. A failure prints the end of its log.
func start(t *testing.T, text string) *mirror {
	t.Helper()
	dir := t.TempDir()
	program, file, log := filepath.Join(dir, "mirror"), filepath.Join(dir, "mm2.properties"), filepath.Join(dir, "log")
	if out, err := exec.Command("go", "build", "-o", program, "tandem/cmd/mirror").CombinedOutput(); err != nil {
		t.Fatalf("build mirror: %v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(log, program, file)
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{Process: p, t: t}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of mirror:\n%s", p.LogTail(60))
		}
	})
	m.until("mirror to serve its page", func() error {
		all, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		found := regexp.MustCompile(`"status is served".*"address":"([^"]+)"`).FindSubmatch(all)
		if found == nil {
			return fmt.Errorf("its log says %s", all)
		}
		m.address = string(found[1])
		return nil
	})
	return m
}

func (m *mirror) url() string { return "http://" + m.address + "/" }

func (m *mirror) readyz() (code int, body readiness) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url()+"readyz", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(all, &body)
	}
	if err != nil {
		m.t.Fatalf("read /readyz: %v: %s", err, all)
	}
	return answer.StatusCode, body
}

// until waits for a condition while mirror runs.
func (m *mirror) until(what string, holds func() error) {
	m.t.Helper()
	eventually(m.t, what, func() error {
		err := holds()
		if ended := m.ExitedWith(); err != nil && ended != nil {
			m.t.Fatalf("wait for %s: %v", what, ended)
		}
		return err
	})
}

func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	wait.Until(t, patience, 50*time.Millisecond, what, holds)
}

// side is a cluster and a client of it.
type side struct {
	*realkafka.Cluster
	t      *testing.T
	client *kgo.Client
}

func cluster(t *testing.T) side {
	t.Helper()
	c := realkafka.Start(t, realkafka.Options{})
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Direct, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxVersions(kversion.V3_8_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return side{c, t, client}
}

func (s side) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s side) create(name string, partitions int32) {
	s.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(s.t.Context(), s.client)
	s.must(err)
	s.must(kerr.ErrorForCode(response.Topics[0].ErrorCode))
}

// write appends records of a size that no compression changes.
func (s side) write(topic string, partition int32, records, size int) {
	s.t.Helper()
	for i := range records {
		value := make([]byte, size)
		for j := range value {
			value[j] = byte((i + 1) * (j + 7) * 2654435761 >> 13)
		}
		s.must(s.client.ProduceSync(s.t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: value}).FirstErr())
	}
}

// limit sets the largest batch that a topic takes.
func (s side) limit(topic, value string) {
	s.t.Helper()
	setting := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	setting.Name, setting.Value = "max.message.bytes", &value
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.Configs = append(resource.Configs, setting)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(s.t.Context(), s.client)
	s.must(err)
	s.must(kerr.ErrorForCode(response.Resources[0].ErrorCode))
}

// commit sets the position of a group.
func (s side) commit(group, topic string, partition int32, offset int64) {
	s.t.Helper()
	one := kmsg.NewOffsetCommitRequestTopicPartition()
	one.Partition, one.Offset = partition, offset
	of := kmsg.NewOffsetCommitRequestTopic()
	of.Topic = topic
	of.Partitions = append(of.Partitions, one)
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation = group, -1
	request.Topics = append(request.Topics, of)
	eventually(s.t, "the commit of "+group, func() error { // the first of all finds no coordinator yet
		response, err := request.RequestWith(s.t.Context(), s.client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
	})
}

func quoted(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string has no way not to be JSON
	}
	return string(out)
}
