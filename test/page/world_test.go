package page

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tandem/internal/status"
	"tandem/internal/testkit/browser"
)

// world is a source whose states a test writes.
type world struct {
	mu         sync.Mutex
	report     status.Report
	partitions []status.Partition
	settings   []status.Setting
	records    int64
	looked     int
	past       bool // it has run for half an hour
}

func (w *world) Report(context.Context) status.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.report
	r.At = time.Now()
	return r
}

func (w *world) Partitions(context.Context) []status.Partition {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.partitions
}

// Samples go up and down, as a flow does.
func (w *world) Samples(context.Context) (all []status.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked++
	x := float64(w.looked)
	w.records += int64(2 * (9000 + 4000*math.Sin(x/9) + 900*math.Sin(x*1.7)))
	for _, f := range w.report.Flows {
		lag := max(int64(1500+2400*math.Sin(x/7)+300*math.Sin(x*2.1)), 0)
		all = append(all, status.Sample{Flow: f.Name, LagRecords: lag, LagSeconds: float64(lag) / 4000, RPORecords: lag, RPOSeconds: float64(lag)/4000 + 0.3, Records: w.records, Bytes: w.records * 890})
	}
	return all
}

func (w *world) Settings() []status.Setting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settings
}

// change alters what the process says from now on.
func (w *world) change(alter func(r *status.Report)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	alter(&w.report)
}

// site is a process that serves the page of a world, and can end and come back on its address.
type site struct {
	t       *testing.T
	world   *world
	options status.Options
	address string
	stop    func()
}

func serve(t *testing.T, w *world, options status.Options) *site {
	t.Helper()
	s := &site{t: t, world: w, options: options, address: "127.0.0.1:0"}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *site) start() {
	s.t.Helper()
	server, err := status.Listen(s.address, s.options, s.world, prometheus.NewRegistry())
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = server.Address()
	if s.world.past { // a name with a host comes before one without
		server.Handle("GET 127.0.0.1/api/history", http.HandlerFunc(halfAnHour))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
}

// halfAnHour is a history that no test has the time to wait for.
func halfAnHour(w http.ResponseWriter, r *http.Request) {
	samples := []status.TimedSample{}
	if r.URL.Query().Get("after") == "" {
		var records int64 = 4_700_000_000
		now := time.Now()
		for i := range 900 {
			x := float64(i)
			records += int64(2 * (9000 + 3500*math.Sin(x/70) + 700*math.Sin(x*1.7)))
			lag := max(int64(900+900*math.Sin(x/40)+300*math.Sin(x*2.1)), 0)
			switch {
			case i > 640 && i < 660:
				continue // the process was held up
			case i > 480 && i < 560:
				lag += int64(300 * (i - 480))
			case i >= 560 && i < 590:
				lag += int64(800 * (590 - i))
			}
			samples = append(samples, status.TimedSample{
				At: now.Add(time.Duration(i-900) * 2 * time.Second), LagRecords: lag, LagSeconds: float64(lag) / 4000, RPORecords: lag, RPOSeconds: float64(lag)/3600 + 0.3, Records: records, Bytes: records * 890,
			})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(samples)
}

func (s *site) url() string { return "http://" + s.address + "/" }

// until waits for an expression of JavaScript to hold on the page.
func until(t *testing.T, tab *browser.Tab, condition string) {
	t.Helper()
	holds(t, tab, condition, time.Minute)
}

// holds waits at most so long.
func holds(t *testing.T, tab *browser.Tab, condition string, most time.Duration) (took time.Duration) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !browser.Eval[bool](tab, "Boolean("+condition+")") {
		if time.Since(began) > most {
			t.Fatalf("after %v still not: %s\nthe page says:\n%.3000s", most, condition, tab.Text("main"))
		}
		<-tick.C
	}
	return time.Since(began)
}

// usual is a process with two flows, an archive, and nothing wrong.
func usual() *world {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	number := func(x float64) *float64 { return &x }
	const day = 24 * time.Hour
	w := &world{records: 4_812_331_907}
	flow := func(from, to string, partitions map[string]int) status.Flow {
		return status.Flow{
			Name: from + "->" + to, Source: from, Target: to, Started: true, Partitions: partitions, LagRecords: 1843, LagSeconds: 0.42, RPORecords: 2107, RPOSeconds: 0.71,
			Records: 4_812_331_907, Bytes: 4_283_000_000_000, Heartbeat: number(0.8),
			Groups: &status.Groups{Number: 38, Positions: map[string]int{"exact": 410, "clamped": 2}, Age: number(11.2), Listed: []status.Group{
				{Name: "billing-nightly", Classes: map[string]int{"exact": 10, "clamped": 2}, Note: "orders/3: older than the map of offsets goes back"},
				{Name: "checkout", Classes: map[string]int{"exact": 48}}, {Name: "fraud-scoring", Classes: map[string]int{"exact": 24}},
			}},
			Members: []status.Member{
				{Instance: "mirror-0", Host: "mirror-0.mirror.kafka.svc", Partitions: 208, Duties: true, Self: true, Same: true},
				{Instance: "mirror-1", Host: "mirror-1.mirror.kafka.svc", Partitions: 204, Same: true},
			},
		}
	}
	w.report = status.Report{
		Started: ago(9*day + 4*time.Hour), Version: "v1.4.0", Instance: "mirror-0", File: "/etc/mirror/mm2.properties", Ready: true,
		Flows: []status.Flow{
			flow("east", "west", map[string]int{"live": 396, "catching up": 14, "throttled": 2, "stalled": 0, "quarantined": 0, "halted": 0}),
			flow("west", "east", map[string]int{"live": 24}),
		},
		Archives: []status.Archive{{Flow: "east->west", State: "archiving", Age: 2.6, Durable: ago(2600 * time.Millisecond), Restorable: &status.Restorable{
			AsOf: ago(40 * time.Second), Objects: 18_204, Bytes: 9_311_000_000_000, Oldest: ago(29 * day), Newest: ago(40 * time.Second),
			Topics: []status.Span{
				{Topic: "orders", From: ago(30 * day), To: ago(40 * time.Second)},
				{Topic: "payments", From: ago(30 * day), To: ago(40 * time.Second), Holes: 0},
				{Topic: "inventory.levels", From: ago(29 * day), To: ago(44 * time.Second)},
				{Topic: "sessions.eu", From: ago(12 * day), To: ago(3 * day), Deleted: true},
				{Topic: "clicks", From: ago(7 * day), To: ago(50 * time.Second)},
			},
			Points:   []status.Point{{Name: "before-release-214", At: ago(2*day + 5*time.Hour)}, {Name: "month-end", At: ago(20 * day)}},
			Verified: &status.Verified{At: ago(19 * time.Hour), Level: "records", Passed: true},
		}}},
		Drills: []status.Drill{
			{Kind: "failover", Flow: "east->west", At: ago(4 * day), Seconds: 48, Passed: true, Summary: "50 partitions, 5,000 records compared, all the same; the switch would take 1.9 s", Due: now.Add(3 * day)},
			{Kind: "archive", Flow: "east->west", At: ago(4 * day), Seconds: 131, Passed: true, Summary: "50 partitions, 5,000 records restored and compared, all the same", Due: now.Add(3 * day)},
		},
		Certificates: []status.Certificate{
			{Cluster: "east", Subject: "CN=mirror,O=Example", File: "/etc/mirror/tls/mirror.p12", Ends: now.Add(61*day + time.Hour)},
			{Cluster: "east", Subject: "CN=Example Root CA", File: "/etc/mirror/tls/trust.pem", Trusted: true, Ends: now.Add(2100 * day)},
			{Cluster: "west", Subject: "CN=mirror,O=Example", File: "/etc/mirror/tls/mirror.p12", Ends: now.Add(61*day + time.Hour)},
		},
		Memory: status.Memory{Used: 71 << 20, Limit: 256 << 20},
	}
	for i := range 412 {
		p := status.Partition{
			Flow: "east->west", Source: fmt.Sprintf("%s/%d", []string{"orders", "payments", "inventory.levels", "clicks"}[i%4], i/4), State: "live", Since: ago(26 * time.Hour), Ready: true,
		}
		if i < 14 {
			p.State, p.Lag, p.LagSeconds, p.Since = "catching up", int64(131*(14-i)), 0.1*float64(14-i), ago(time.Duration(i)*time.Second)
		}
		p.Remote = "east." + p.Source
		w.partitions = append(w.partitions, p)
	}
	for _, s := range [][4]string{
		{"", "clusters", "east, west", "line 3"}, {"", "status.address", "0.0.0.0:8383", "line 41"}, {"", "status.token", "(hidden)", "line 42"}, {"", "memory.bytes", "268435456", "default"},
		{"", "log.level", "info", "default"}, {"east->west", "topics", "orders, payments, inventory\\..*, clicks", "line 12"}, {"east->west", "groups", ".*", "default"},
		{"east->west", "sync.group.offsets.enabled", "true", "line 14"}, {"east->west", "emit.checkpoints.interval.seconds", "60", "default"},
		{"east->west", "archive.url", "s3://kafka-archive/east?region=eu-central-1", "line 22"}, {"east->west", "drill.schedule", "0 3 * * 1", "line 27"},
		{"west->east", "topics", "stock", "line 31"}, {"east", "bootstrap.servers", "east-0:9093,east-1:9093", "line 5"}, {"east", "ssl.keystore.password", "(hidden)", "line 8"},
	} {
		w.settings = append(w.settings, status.Setting{Flow: s[0], Key: s[1], Value: s[2], From: s[3]})
	}
	return w
}

// troubled is the usual process on a bad night.
func troubled() *world {
	w := usual()
	now := time.Now()
	why := "record 88,412 of orders/3 is larger than max.message.bytes of east.orders (1,048,588)"
	w.report.Ready = false
	f := &w.report.Flows[0]
	f.Partitions = map[string]int{"live": 301, "catching up": 96, "throttled": 2, "stalled": 12, "quarantined": 1, "halted": 0}
	f.LagRecords, f.LagSeconds, f.RPORecords, f.RPOSeconds = 1_204_551, 372, 1_204_551, 391
	f.Standing = []status.Partition{{Flow: f.Name, Source: "orders/3", Remote: "east.orders/3", State: "quarantined", Cause: "refused", Reason: why, Since: now.Add(-372 * time.Second), Lag: 88_110, LagSeconds: 372}}
	for i := range 12 {
		f.Standing = append(f.Standing, status.Partition{
			Flow: f.Name, Source: fmt.Sprintf("payments/%d", i), Remote: fmt.Sprintf("east.payments/%d", i), State: "stalled", Cause: "outage",
			Reason: "a broker of east is away", Since: now.Add(-94 * time.Second), Lag: 4021, LagSeconds: 94,
		})
	}
	w.partitions = append(append([]status.Partition(nil), f.Standing...), w.partitions[12:]...)
	f.Groups.Positions = map[string]int{"exact": 380, "clamped": 12, "ahead": 18, "unknown": 2}
	f.Groups.Listed = append([]status.Group{
		{Name: "reports-legacy", Classes: map[string]int{"unknown": 2}, Note: "orders/9: committed before the flow was set up"},
		{Name: "search-indexer", Classes: map[string]int{"exact": 6, "ahead": 18}, Note: "payments/4: has read 318 records that west does not have"},
	}, f.Groups.Listed...)
	f.Members[1].Same = false
	a := &w.report.Archives[0]
	a.State, a.Reason, a.Age, a.Behind, a.Durable = "store does not answer", "put s3://kafka-archive/east/bundles: connection refused", 214, 96, now.Add(-214*time.Second)
	a.Restorable.Holes = 3
	a.Restorable.Topics[1].Holes = 3
	a.Restorable.Error = "list s3://kafka-archive/east: connection refused"
	w.report.Drills[0].Passed, w.report.Drills[0].Summary = false, "2 of 50 partitions differ: orders/3 from record 88,412 on is not on west"
	w.report.Certificates[0].Ends = now.Add(9*24*time.Hour + 3*time.Hour)
	w.report.Problems = []status.Problem{
		{Severity: status.Critical, Alert: "TandemQuarantine", Flow: f.Name, Where: "orders/3", What: "the partition stands still (quarantined): " + why, Since: now.Add(-372 * time.Second)},
		{Severity: status.Critical, Alert: "TandemStandsStill", Flow: f.Name, Where: "payments/0, payments/1, payments/10 and 9 more", What: "12 partitions stand still (stalled): a broker of east is away", Since: now.Add(-94 * time.Second)},
		{Severity: status.Critical, Alert: "TandemArchiveStoreErrors", Flow: f.Name, What: "the archive's store does not answer: put s3://kafka-archive/east/bundles: connection refused", Since: now.Add(-214 * time.Second)},
		{Severity: status.Critical, Alert: "TandemDrillFailed", Flow: f.Name, Where: "failover drill", What: w.report.Drills[0].Summary, Since: w.report.Drills[0].At},
		{Severity: status.Warning, Alert: "TandemRPOExceeded", Flow: f.Name, What: "1204551 records would be lost if east were lost now, and what it got in the last 7 minutes", Since: now.Add(-391 * time.Second)},
		{Severity: status.Warning, Alert: "TandemGroupAhead", Flow: f.Name, Where: "search-indexer", What: "18 positions of groups are ahead of what west has: payments/4: has read 318 records that west does not have"},
		{Severity: status.Warning, Alert: "TandemCertificateExpiring", Where: "CN=mirror,O=Example", What: "the certificate for cluster east ends in 9 days (/etc/mirror/tls/mirror.p12); replace it, a restart is not needed", Since: w.report.Certificates[0].Ends},
	}
	return w
}
