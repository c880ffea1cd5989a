package integration

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/s3"
)

const (
	smallMemory = 1 << 20 // the least that archive.memory.bytes takes
	smallFlow   = "memory.bytes = 8388608\noffset.map.bytes = 4194304\narchive.memory.bytes = 1048576\n"
	// What a mirror of smallFlow may take beside its archive's memory: what the settings give it, what it needs for connections and
	// metadata (24 MB), and its program with what the runtime keeps.
	smallRSS = 8<<20 + 4<<20 + 24<<20 + 64<<20
)

// wantBounded checks that a mirror of a flow has stayed within its bounds.
func wantBounded(t *testing.T, m *mirrorProcess, flow string, memory int64) {
	t.Helper()
	peak, err := m.PeakRSS()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peak RSS %d MB", peak>>20)
	if peak > smallRSS+memory && !raceDetector {
		t.Errorf("peak RSS %d MB, want at most %d", peak>>20, (smallRSS+memory)>>20)
	}
	used, err := m.metric("tandem_archive_memory_used_bytes", flow)
	if err != nil || used > float64(memory) {
		t.Errorf("the archive uses %g bytes of %d: %v", used, memory, err)
	}
}

// spoil lets a fault befall requests from now on, and counts them.
func (p *archiveProxied) spoil(f s3.Fault, which func(*http.Request) bool) (hits *atomic.Int64) {
	hits = new(atomic.Int64)
	p.proxy.Script(func(r *http.Request) s3.Fault {
		if !which(r) {
			return s3.Fault{}
		}
		hits.Add(1)
		return f
	})
	return hits
}

func reachesHits(hits *atomic.Int64, n int64) func() error {
	return func() error {
		if got := hits.Load(); got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	}
}

// replicates wants what is written from now on to reach the target.
func (p *archiveProxied) replicates(m *mirrorProcess, records int64) {
	p.t.Helper()
	p.grows(records)
	m.until("records to flow", p.b.reaches("A."+p.topics()[0], p.writers[0].total()))
}

func anyRequest(*http.Request) bool { return true }

// trouble befalls some requests.
type trouble struct {
	name  string
	fault s3.Fault
	which func(*http.Request) bool
}

// The store answers wrongly, slowly or not at all: replication goes on, and the archive when the store does.
func TestArchiveStoreTrouble(t *testing.T) {
	p := startArchiveProxied(t, "trouble", smallFlow)
	m := startMirror(t, p.properties)
	m.until("some of it in the archive", m.shows("tandem_archive_bundles_total", "A->B", 2))
	troubles := []trouble{
		{"500", s3.Fault{Status: 500, Code: "InternalError"}, anyRequest},
		{"SlowDown", s3.Fault{Status: 503, Code: "SlowDown"}, anyRequest},
		{"429", s3.Fault{Status: 429}, anyRequest},
		{"access denied", s3.Fault{Status: 403, Code: "AccessDenied"}, anyRequest},
		{"full", s3.Fault{Status: 507, Code: "XMinioStorageFull"}, anyRequest},
		{"a page that says it is fine", s3.Fault{Status: 200, Page: "<html>Please log in</html>"}, anyRequest},
		{"there is one, and it is not", s3.Fault{Status: 412, Code: "PreconditionFailed"}, isBundle},
		{"connections reset", s3.Fault{Drop: true}, anyRequest},
		{"uploads reset", s3.Fault{CutUpload: 100}, isBundle},
		{"answers lost", s3.Fault{LoseAnswer: true}, isBundle},
		{"slow", s3.Fault{Rate: 40_000}, anyRequest},
	}
	if long() {
		troubles = append(troubles,
			trouble{"a page of 502", s3.Fault{Status: 502}, anyRequest},
			trouble{"expired", s3.Fault{Status: 400, Code: "ExpiredToken"}, anyRequest},
			trouble{"no such bucket", s3.Fault{Status: 404, Code: "NoSuchBucket"}, anyRequest},
			trouble{"a page of 404", s3.Fault{Status: 404}, anyRequest})
	}
	for _, tt := range troubles {
		hits := p.spoil(tt.fault, tt.which)
		m.until("trouble: "+tt.name, reachesHits(hits, 1))
		p.replicates(m, 200)
		before := m.bundles()
		p.proxy.Script(nil)
		m.until("the archive to go on after trouble: "+tt.name, m.shows("tandem_archive_bundles_total", "A->B", before+1))
	}
	wantBounded(t, m, "A->B", smallMemory)
	p.end()
	p.finishBy(m)
}

// A store that takes a request and says nothing is left after half a minute; a body that stalls goes on where it was.
func TestArchiveStoreStalls(t *testing.T) {
	if !long() {
		t.Skip("TANDEM_LONG=1: each stall takes half a minute")
	}
	p := startArchiveProxied(t, "stalls", smallFlow)
	m := startMirror(t, p.properties)
	m.until("some of it in the archive", m.shows("tandem_archive_bundles_total", "A->B", 2))
	p.proxy.Next(http.MethodPut, s3.Fault{Stall: true})
	before := m.bundles()
	p.replicates(m, 20_000)
	m.until("the archive to go on", m.shows("tandem_archive_bundles_total", "A->B", before+2))
	m.Kill()
	p.quiet()
	p.proxy.Next(http.MethodGet, s3.Fault{}, s3.Fault{CutStall: 10}, s3.Fault{Stall: true})
	m = startMirror(t, p.properties)
	p.replicates(m, 20_000)
	m.until("the archive to begin", m.shows("tandem_archive_bundles_total", "A->B", 1))
	wantBounded(t, m, "A->B", smallMemory)
	m.stop()
	p.finish()
}

// The store is away for long. The memory of the archive is full soon; replication goes on at its rate, and what the archive had no
// room for it reads from the source afterwards.
func TestArchiveStoreAwayForLong(t *testing.T) {
	p := startArchiveProxied(t, "gone", smallFlow)
	m := startMirror(t, p.properties)
	m.until("some of it in the archive", m.shows("tandem_archive_bundles_total", "A->B", 2))
	p.proxy.Script(func(*http.Request) s3.Fault { return s3.Fault{Drop: true} })
	began := time.Now()
	for range 8 {
		p.replicates(m, 10_000)
		wantBounded(t, m, "A->B", smallMemory)
	}
	m.until("partitions that are behind", m.shows("tandem_archive_behind_partitions", "A->B", 1))
	p.end()
	if long() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for topic := p.topics()[0]; time.Since(began) < 10*time.Minute; <-tick.C {
			p.a.write(topic, numbered(10))
			ends, err := p.a.count(topic)
			if err != nil {
				t.Fatal(err)
			}
			m.until("records to flow", p.b.holds("A."+topic, ends))
		}
	}
	t.Logf("the store was away for %s", time.Since(began).Round(time.Second))
	p.proxy.Script(nil)
	for _, topic := range p.topics() {
		m.until("the gap of "+topic+" to be filled", reachesEnds(t, p.url, p.a, topic))
	}
	wantBounded(t, m, "A->B", smallMemory)
	p.finishBy(m)
}

func isList(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2"
}

func isGet(r *http.Request) bool { return r.Method == http.MethodGet && !isList(r) }

// beginAmidTrouble: nothing that a store says at the start is taken for an empty archive but an empty archive. Nothing is written before it
// has told where the archive goes on, and replication does not wait for it.
func (p *archiveProxied) beginAmidTrouble() {
	t := p.t
	denied, missing := s3.Fault{Status: 403, Code: "AccessDenied"}, s3.Fault{Status: 404}
	for i, tt := range []trouble{
		{"listing: access denied", denied, isList},
		{"listing: a page", s3.Fault{Status: 200, Page: "<html>Please log in</html>"}, isList},
		{"footer: no such key", s3.Fault{Status: 404, Code: "NoSuchKey"}, isGet},
		{"footer: 500", s3.Fault{Status: 500, Code: "InternalError"}, isGet},
		{"listing: a page of 404", missing, isList},
		{"listing: no such bucket", s3.Fault{Status: 404, Code: "NoSuchBucket"}, isList},
		{"listing: 500", s3.Fault{Status: 500, Code: "InternalError"}, isList},
		{"listing: nothing", s3.Fault{Status: 200, Page: " "}, isList},
		{"listing: cut", s3.Fault{Cut: 200}, isList},
		{"footer: access denied", denied, isGet},
		{"footer: a page of 404", missing, isGet},
		{"footer: a page", s3.Fault{Status: 200, Page: strings.Repeat("<html>Please log in</html>", 10_000)}, isGet},
		{"footer: cut", s3.Fault{Cut: 10}, isGet},
	} {
		if i > 4 && !long() {
			break
		}
		var bundles, hits atomic.Int64
		p.proxy.Script(func(r *http.Request) s3.Fault {
			switch {
			case isBundle(r):
				bundles.Add(1)
			case tt.which(r):
				hits.Add(1)
				return tt.fault
			}
			return s3.Fault{}
		})
		m := startMirror(t, p.properties)
		m.until(tt.name, reachesHits(&hits, 2))
		if i < 2 {
			p.replicates(m, 100)
		}
		if n := bundles.Load(); n > 0 {
			t.Errorf("%s: %d bundles were written", tt.name, n)
		}
		p.proxy.Script(nil)
		m.until("the archive to go on after "+tt.name, m.shows("tandem_archive_bundles_total", "A->B", 1))
		p.wantNoSecrets(m)
		m.Kill()
		p.quiet()
	}
}

// The disk of a local archive is full, and there is room again.
func TestArchiveDiskFull(t *testing.T) {
	if err := exec.Command("unshare", "-rUm", "mount", "-t", "tmpfs", "tmpfs", "/mnt").Run(); err != nil {
		t.Skipf("no file system of a test's own here: %v", err)
	}
	a, b := clusters(t)
	const topic = "full-numbers"
	a.create(topic, 2, 1, nil)
	file := propertiesFile(t, fmt.Sprintf(archiveProperties, "B", a.Bootstrap, b.Bootstrap, topic, "file:///mnt")+"A->B.enabled = true\n")
	logFile := filepath.Join(filepath.Dir(file), "mirror.log")
	process, err := proc.Start(logFile, "unshare", "-rUm", "sh", "-c", `mount -t tmpfs -o size=2m tmpfs /mnt && exec "$0" "$1"`, mirrorBinary, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Kill)
	m := &mirrorProcess{Process: process, t: t, logFile: logFile}
	disk := fmt.Sprintf("/proc/%d/root/mnt", m.PID())
	w := startWriter(a, topic, 2)
	m.until("some of it in the archive", m.shows("tandem_archive_bundles_total", "A->B", 2))
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	ballast.Close()
	m.waitFor("the archive's store is full")
	w.grows(3000)
	m.until("records to flow", b.reaches("A."+topic, w.total()))
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	before := m.bundles()
	m.until("the archive to go on", m.shows("tandem_archive_bundles_total", "A->B", before+1))
	w.end()
	m.until("the whole topic in the archive", reachesEnds(t, "file://"+disk, a, topic))
	wantArchived(t, "file://"+disk, a, topic)
	if err := m.ExitedWith(); err != nil {
		t.Error(err)
	}
	m.stop()
}
