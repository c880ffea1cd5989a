package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tandem/internal/testkit/debian"
	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/wait"
)

const (
	patience  = 2 * time.Minute // after it a condition is taken for one that will never hold
	pollEvery = 100 * time.Millisecond
)

// faster is by how much the times of the rules are divided: nobody waits ten minutes for a test.
const faster = 30

var (
	times     = regexp.MustCompile(`(\bfor: |\[|\boffset )(\d+)([smhd])`)
	objective = regexp.MustCompile(`(record: tandem:rpo_objective_seconds\n\s+expr: )vector\((\d+)\)`)
	units     = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
)

// hurried are the rules with all that is a length of time of PromQL divided: `for`, ranges, offsets; and the objective of the RPO. What is
// a number, as the age of a checkpoint, stays.
func hurried(t *testing.T, rules string) string {
	t.Helper()
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := len(objective.FindAllString(rules, -1)); n != 1 {
		t.Fatalf("%d objectives", n)
	}
	rules = objective.ReplaceAllStringFunc(rules, func(s string) string {
		m := objective.FindStringSubmatch(s)
		return fmt.Sprintf("%svector(%d)", m[1], number(m[2])/faster)
	})
	return times.ReplaceAllStringFunc(rules, func(s string) string {
		m := times.FindStringSubmatch(s)
		return fmt.Sprintf("%s%dms", m[1], (time.Duration(number(m[2])) * units[m[3]] / faster).Milliseconds())
	})
}

func TestHurried(t *testing.T) {
	const rules = "      - record: tandem:rpo_objective_seconds\n        expr: vector(300)\n      expr: a > 600 and b[6h] offset 8d\n      for: 1m\n"
	const want = "      - record: tandem:rpo_objective_seconds\n        expr: vector(10)\n      expr: a > 600 and b[720000ms] offset 23040000ms\n      for: 2000ms\n"
	if got := hurried(t, rules); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// prometheus is a running Prometheus that looks every second.
type prometheus struct {
	*proc.Process
	t       *testing.T
	address string
}

// startPrometheus has it scrape the target with the rules of the repository, hurried.
func startPrometheus(t *testing.T, target, token string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	config := read(t, "dashboards/prometheus.yml")
	for old, now := range map[string]string{
		"scrape_interval: 15s": "scrape_interval: 1s", "evaluation_interval: 15s": "evaluation_interval: 1s", "127.0.0.1:8383": target,
		"    #authorization:": "    authorization:",
		"    #  credentials_file: /etc/prometheus/tandem.token": "      credentials_file: " + filepath.Join(dir, "token"),
	} {
		if strings.Count(config, old) != 1 {
			t.Fatalf("the example does not have %q once", old)
		}
		config = strings.Replace(config, old, now, 1)
	}
	write(t, filepath.Join(dir, "token"), token)
	write(t, filepath.Join(dir, "tandem-rules.yml"), hurried(t, read(t, rulesPath)))
	write(t, filepath.Join(dir, "prometheus.yml"), config)
	address := freeAddress(t)
	p, err := proc.Start(filepath.Join(dir, "prometheus.log"), debian.Tool(t, "prometheus", "/usr/bin/prometheus"),
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address,
		"--enable-feature=native-histograms", "--log.level=warn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", p.LogTail(40))
		}
	})
	return &prometheus{p, t, address}
}

// ask gets something of the API.
func (p *prometheus) ask(path string, query url.Values, data any) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/api/v1/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return errors.Join(err, p.ExitedWith())
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

type alert struct {
	State               string
	Labels, Annotations map[string]string
}

func (a alert) String() string {
	return fmt.Sprintf("%s %s (%s): %s", a.State, a.Labels["alertname"], a.Labels["severity"], a.Annotations["description"])
}

// alerts are all that fire, and those that will unless it passes.
func (p *prometheus) alerts() (firing, pending []alert, err error) {
	var data struct{ Alerts []alert }
	if err := p.ask("alerts", nil, &data); err != nil {
		return nil, nil, err
	}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			firing = append(firing, a)
		} else {
			pending = append(pending, a)
		}
	}
	return firing, pending, nil
}

// value is the only sample of an expression.
func (p *prometheus) value(expr string) (float64, error) {
	var data struct{ Result []struct{ Value [2]any } }
	if err := p.ask("query", url.Values{"query": {expr}}, &data); err != nil {
		return 0, err
	}
	if len(data.Result) != 1 {
		return 0, fmt.Errorf("%s has %d samples", expr, len(data.Result))
	}
	return strconv.ParseFloat(fmt.Sprint(data.Result[0].Value[1]), 64)
}

// until waits until just these alerts fire, by name and severity; others may be pending. One in parentheses may fire or not.
func (p *prometheus) until(when string, want ...string) {
	p.t.Helper()
	began := time.Now()
	slices.Sort(want)
	var fired []alert
	eventually(p.t, when+fmt.Sprintf(": %q fire", want), func() error {
		firing, pending, err := p.alerts()
		if err != nil {
			return err
		}
		var names []string
		for _, a := range firing {
			if name := a.Labels["alertname"] + " " + a.Labels["severity"]; slices.Contains(want, "("+name+")") {
				names = append(names, "("+name+")")
			} else {
				names = append(names, name)
			}
		}
		for _, name := range want {
			if strings.HasPrefix(name, "(") && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if fired = firing; slices.Equal(names, want) {
			return nil
		}
		return fmt.Errorf("fire %v; pending %v", firing, pending)
	})
	p.t.Logf("%s: after %s fire %v", when, time.Since(began).Round(100*time.Millisecond), fired)
}

// eventually waits until the condition holds, and tells why it does not.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	wait.Until(t, patience, pollEvery, what, holds)
}

// freeAddress is of a port that is free now and that no outgoing connection takes, so that whoever has it can leave and come back.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(10000+rand.IntN(9000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
