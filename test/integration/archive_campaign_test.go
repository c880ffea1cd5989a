package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
	"tandem/internal/testkit/s3"
)

// archiveLoad writes several topics at once: plain ones, tiny batches, transactions of which some are aborted.
type archiveLoad struct {
	t         *testing.T
	a, b      side
	alias     string
	writers   []*writer
	stop      context.CancelFunc
	done      chan error
	committed int64 // the last offset that the group committed
}

func startArchiveLoad(t *testing.T, a, b side, alias string) *archiveLoad {
	t.Helper()
	l := &archiveLoad{t: t, a: a, b: b, alias: alias, done: make(chan error, 1)}
	for _, topic := range l.topics() {
		a.create(topic, 2, 1, nil)
	}
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	tx := alias + "-tx"
	client := a.newClient(kgo.TransactionalID(tx), kgo.DefaultProduceTopic(tx), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	go func() { l.done <- transact(ctx, client) }()
	l.writers = []*writer{
		startWriter(a, alias+"-plain", 2),
		startWriterWith(a, alias+"-tiny", 2, make([]byte, 600), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1024)),
	}
	return l
}

func (l *archiveLoad) topics() []string {
	return []string{l.alias + "-plain", l.alias + "-tiny", l.alias + "-tx"}
}

func (l *archiveLoad) grows(records int64) { l.writers[0].grows(records) }

// commits moves the group on by a record.
func (l *archiveLoad) commits() {
	l.t.Helper()
	l.committed++
	l.a.commit(l.alias+"-group", map[stream.Partition]int64{{Topic: l.alias + "-plain"}: l.committed})
}

func (l *archiveLoad) end() {
	l.t.Helper()
	l.stop()
	if err := <-l.done; err != nil {
		l.t.Fatal(err)
	}
	for _, w := range l.writers {
		w.end()
	}
}

// archiveProxied is a flow whose archive is on S3, behind a proxy.
type archiveProxied struct {
	*archiveLoad
	proxy      *s3.Proxy
	url        string // past the proxy
	properties string
}

func startArchiveProxied(t *testing.T, alias, more string) *archiveProxied {
	t.Helper()
	a, b := clusters(t)
	server := s3.Start(t)
	server.Bucket(t, "kept", false)
	proxy := server.NewProxy(t)
	return &archiveProxied{
		archiveLoad: startArchiveLoad(t, a, b, alias), proxy: proxy, url: s3.URL(server.Endpoint(), "kept", "p"),
		properties: fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, alias+"-.*", s3.URL(proxy.URL, "kept", "p")) +
			"A->B.enabled = true\nemit.checkpoints.interval.seconds = 1\ngroups = " + alias + "-.*\n" + more,
	}
}

// quiet waits until the store is done with what a dead process has asked for.
func (p *archiveProxied) quiet() {
	p.t.Helper()
	eventually(p.t, "the store to be done", func() error {
		if n := p.proxy.Busy(); n > 0 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
}

// killedAt starts mirror, and kills it when a request that is asked for has come as far as the fault lets it.
func (p *archiveProxied) killedAt(moment string, f s3.Fault, asked func(n int, r *http.Request) bool) {
	p.t.Helper()
	reached, killed := make(chan struct{}), make(chan struct{})
	f.Then = func() { close(reached); <-killed }
	n, found := 0, false
	p.proxy.Script(func(r *http.Request) s3.Fault {
		n++
		if found || !asked(n, r) {
			return s3.Fault{}
		}
		found = true
		return f
	})
	m := startMirror(p.t, p.properties)
	m.until(moment, func() error {
		select {
		case <-reached:
			return nil
		default:
			return fmt.Errorf("%d requests so far", p.proxy.Requests())
		}
	})
	m.Kill()
	close(killed)
	p.quiet()
	p.proxy.Script(nil)
}

// finish has a last mirror archive the rest, and compares all there is.
func (p *archiveProxied) finish() *kept {
	p.t.Helper()
	p.end()
	return p.finishBy(startMirror(p.t, p.properties))
}

func (p *archiveProxied) finishBy(m *mirrorProcess) *kept {
	p.t.Helper()
	p.commits()
	for _, topic := range p.topics() {
		m.until("all of "+topic+" in the archive", reachesEnds(p.t, p.url, p.a, topic))
		m.until("all of "+topic+" on the target", p.b.holds("A."+topic, p.records(topic)))
	}
	p.groupArrives(m)
	m.stop()
	p.wantNoSecrets(m)
	return p.judge()
}

// groupArrives waits until the archive knows where the group is.
func (p *archiveProxied) groupArrives(m *mirrorProcess) {
	p.t.Helper()
	m.until("the group in the archive", func() error {
		all := footersAt(p.t, p.url, "A").events(bundle.KindGroupOffsets)
		for _, one := range all {
			if strings.HasPrefix(one, p.alias+"-group ") && strings.HasSuffix(one, fmt.Sprintf(": %s-plain/0 at %d", p.alias, p.committed)) {
				return nil
			}
		}
		return fmt.Errorf("not at %d in %q", p.committed, all)
	})
}

// records is how many the flow copies: not the markers.
func (p *archiveProxied) records(topic string) int64 { return int64(total(p.a.read(topic))) }

func (p *archiveProxied) judge() *kept {
	p.t.Helper()
	k := archived(p.t, p.url, "A")
	if k.twice > 0 {
		p.t.Errorf("%d records stand in the archive twice", k.twice)
	}
	wantChain(p.t, k.footers)
	p.wantAll(k)
	return k
}

// wantAll compares topics, groups and runs; what stands there twice is told by others.
func (p *archiveProxied) wantAll(k *kept) {
	p.t.Helper()
	ends := make(map[string][]int64)
	for _, topic := range p.topics() {
		k.wantSource(p.t, p.a, topic)
		var err error
		if ends[topic], err = p.a.ends(topic); err != nil {
			p.t.Fatal(err)
		}
	}
	state := wantCatalog(p.t, p.url, "A", ends)
	group, plain := p.alias+"-group", stream.Partition{Topic: p.alias + "-plain"}
	if at := state.Groups[group][plain]; int64(at.Offset) != p.committed {
		p.t.Errorf("the group is at %d, want %d", at.Offset, p.committed)
	}
	p.wantRuns(k)
	kills := 0
	for _, f := range k.footers {
		kills = max(kills, int(f.Header.Generation))
	}
	p.t.Logf("%d bundles of %d generations", len(k.footers), kills+1)
}

// wantRuns checks that each run of the archive has the same records on both sides.
func (p *archiveProxied) wantRuns(k *kept) {
	p.t.Helper()
	for _, topic := range p.topics() {
		up, down, seen := byOffset(p.a.read(topic)), byOffset(p.b.read("A."+topic)), 0
		for _, f := range k.footers {
			for _, e := range f.Events {
				r, ok := e.Body.(bundle.Runs)
				if !ok || r.Source.Name != topic {
					continue
				}
				for _, run := range r.Runs {
					for i := range run.Count {
						from, to := up[r.Partition][int64(run.Up)+i], down[r.Remote.Number][int64(run.Down)+i]
						if from == nil || to == nil || string(from.Value) != string(to.Value) {
							p.t.Fatalf("%s/%d: a run from %d at %d is wrong at its record %d", topic, r.Partition, run.Up, run.Down, i)
						}
						seen++
					}
				}
			}
		}
		if seen == 0 {
			p.t.Errorf("no run of %s", topic)
		}
	}
}

func byOffset(records [][]*kgo.Record) []map[int64]*kgo.Record {
	all := make([]map[int64]*kgo.Record, len(records))
	for p, list := range records {
		all[p] = make(map[int64]*kgo.Record, len(list))
		for _, r := range list {
			all[p][r.Offset] = r
		}
	}
	return all
}

// wantNoSecrets looks for what signs requests in a log.
func (p *archiveProxied) wantNoSecrets(m *mirrorProcess) {
	p.t.Helper()
	for _, secret := range []string{"tandem-test", "AWS4-HMAC", "Signature=", "Credential=", "X-Amz-"} {
		if found := m.lines(secret); len(found) > 0 {
			p.t.Errorf("%q is in the log: %s", secret, found[0].Text)
		}
	}
}

func isBundle(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/bundles/")
}

// deaths are what may have become of a request when its process dies.
var deaths = []struct {
	name  string
	fault s3.Fault
}{
	{"before it arrives", s3.Fault{Drop: true}},
	{"in the middle of its body", s3.Fault{CutUpload: 100}},
	{"done, and its answer lost", s3.Fault{LoseAnswer: true}},
	{"behind the answer", s3.Fault{}},
}

// mirror is killed at each step of a commit, and at each request of its start, and begins while the store is in trouble: nothing lost,
// nothing twice.
func TestArchiveCampaignOfSteps(t *testing.T) {
	p := startArchiveProxied(t, "steps", "")
	requests, rounds, bundles := 8, 1, 1
	if long() {
		requests, rounds, bundles = 24, 10, 3
	}
	for range rounds {
		for _, d := range deaths {
			for bundles := range bundles { // the first of a process, and those behind
				seen := 0
				p.killedAt("a bundle: "+d.name, d.fault, func(_ int, r *http.Request) bool {
					if isBundle(r) {
						seen++
					}
					return seen > bundles && isBundle(r)
				})
			}
		}
	}
	for n := 1; n <= requests; n++ {
		for i, d := range deaths {
			if d.fault.CutUpload > 0 || !long() && i != []int{0, 2}[n%2] {
				continue
			}
			p.killedAt(fmt.Sprintf("request %d: %s", n, d.name), d.fault, func(so int, _ *http.Request) bool { return so == n })
		}
		p.commits()
	}
	p.beginAmidTrouble()
	k := p.finish()
	if created := k.events(bundle.KindTopicCreated); len(created) != len(p.topics()) {
		t.Errorf("created: %q", created)
	}
}

// mirror is killed at moments that nobody chose, under a load of all kinds.
func TestArchiveCampaignOfKills(t *testing.T) {
	p := startArchiveProxied(t, "moments", "archive.memory.bytes = 4194304\n")
	times := *kills
	if long() {
		times = max(times, 30)
	}
	t.Logf("%d kills, -seed %d", times, *seed)
	random := rand.New(rand.NewPCG(*seed, 6))
	for n := range times {
		m := startMirror(t, p.properties)
		p.grows(soonestKill + random.Int64N(latestKill-soonestKill))
		p.commits()
		if n%breathEvery == breathEvery-1 {
			before := p.writers[0].total()
			m.until("the archive to catch up", func() error {
				var has int64
				for _, end := range footersAt(t, p.url, "A").ends[p.topics()[0]] {
					has += end
				}
				if has < before {
					return fmt.Errorf("%d of %d", has, before)
				}
				return nil
			})
		}
		m.Kill()
		p.quiet()
	}
	p.finish()
}

// Two mirrors of one file: one that was taken for dead wakes up beside another one, in the middle of a commit or between two; or they begin
// at one moment, and neither knows of the other. What both archive is the same, and nothing is missing.
func TestArchiveOfTwoMirrors(t *testing.T) {
	for moment, both := range map[string]func(*archiveProxied) [2]*mirrorProcess{
		"in a commit":      func(p *archiveProxied) [2]*mirrorProcess { return p.wakesUp(true) },
		"between commits":  func(p *archiveProxied) [2]*mirrorProcess { return p.wakesUp(false) },
		"at one beginning": (*archiveProxied).beginTogether,
	} {
		if moment == "between commits" && !long() {
			continue
		}
		t.Run(moment, func(t *testing.T) {
			p := startArchiveProxied(t, "two-"+strings.Fields(moment)[1], "")
			two := both(p)
			before := two[0].bundles()
			two[0].until("the first one to go on", func() error {
				return two[0].shows("tandem_archive_bundles_total", "A->B", before+3)()
			})
			p.grows(1000)
			for _, m := range two {
				if err := m.ExitedWith(); err != nil {
					t.Error(err)
				}
				m.Kill()
			}
			p.quiet()
			p.end()
			last := startMirror(t, p.properties)
			p.commits()
			for _, topic := range p.topics() {
				last.until("all of "+topic+" in the archive", reachesEnds(t, p.url, p.a, topic))
			}
			p.groupArrives(last)
			last.stop()
			k := archived(t, p.url, "A")
			if k.twice == 0 && moment != "at one beginning" {
				t.Error("nothing was archived by both")
			}
			p.wantAll(k)
			t.Logf("%d records stand there twice, with the same bytes", k.twice)
			if k.sameNumbers() {
				t.Error("two processes have written under one name")
			}
			archiveSays(t, 0, "nothing is odd", "verify", propertiesFile(t, p.properties), "--level", "record")
		})
	}
}

// sameNumbers says whether two bundles of a writer have one generation and sequence.
func (k *kept) sameNumbers() bool {
	type number struct {
		writer               string
		generation, sequence int64
	}
	seen := make(map[number]bool)
	for _, f := range k.footers {
		n := number{f.Header.Writer, f.Header.Generation, f.Header.Sequence}
		if seen[n] {
			return true
		}
		seen[n] = true
	}
	return false
}

// wakesUp stops a mirror, in the middle of a commit if so wanted, and has it go on when another one archives.
func (p *archiveProxied) wakesUp(inACommit bool) (two [2]*mirrorProcess) {
	t := p.t
	old := startMirror(t, p.properties)
	old.until("some of it in the archive", old.shows("tandem_archive_bundles_total", "A->B", 2))
	release := make(chan struct{})
	if inACommit {
		held, first := make(chan struct{}), true
		p.proxy.Script(func(r *http.Request) s3.Fault {
			if !first || !isBundle(r) {
				return s3.Fault{}
			}
			first = false
			close(held)
			return s3.Fault{Wait: release}
		})
		<-held
	}
	if err := old.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	other := startMirror(t, p.properties)
	other.until("the other one to archive", other.shows("tandem_archive_bundles_total", "A->B", 3))
	p.grows(3000)
	close(release) // what the old one has asked for comes when the other one is at work
	if err := old.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	return [2]*mirrorProcess{old, other}
}

// beginTogether has two mirrors find the same bundles: both take the next generation.
func (p *archiveProxied) beginTogether() (two [2]*mirrorProcess) {
	first := startMirror(p.t, p.properties)
	first.until("some of it in the archive", first.shows("tandem_archive_bundles_total", "A->B", 2))
	first.Kill()
	p.quiet()
	release := make(chan struct{})
	hits := p.spoil(s3.Fault{Wait: release}, isList)
	for i := range two {
		two[i] = startMirror(p.t, p.properties)
	}
	two[1].until("both to ask", reachesHits(hits, 4)) // each for its positions and for the index
	p.proxy.Script(nil)
	close(release)
	two[1].until("some more in the archive", func() error {
		for _, m := range two {
			if m.bundles() >= 3 {
				return nil
			}
		}
		return fmt.Errorf("%g and %g bundles", two[0].bundles(), two[1].bundles())
	})
	return two
}

func (m *mirrorProcess) bundles() float64 {
	n, _ := m.metric("tandem_archive_bundles_total", "A->B")
	return n
}
