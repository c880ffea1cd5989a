package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/testkit/proc"
)

// mirrored is a flow and the processes of mirror that share it.
type mirrored struct {
	alias   string // of the source
	program string
	dir     string
	config  string
	folder  string // of its archive
	starts  int
	running []*running
}

// running is one process of mirror.
type running struct {
	*proc.Process
	log string
	at  string // address of its status page
}

func (m *mirrored) target() string           { return m.alias + "to" }
func (m *mirrored) remote() string           { return m.remoteOf(loadTopic) }
func (m *mirrored) remoteOf(t string) string { return m.alias + "." + t }

// write writes the file, with the intervals of config/mm2.properties.
func (m *mirrored) write(a, b, topics string, enabled bool, more string) error {
	text := strings.NewReplacer("{from}", m.alias, "{to}", m.target(), "{a}", a, "{b}", b, "{topics}", topics, "{enabled}", strconv.FormatBool(enabled)).Replace(
		`clusters = {from}, {to}
{from}.bootstrap.servers = {a}
{to}.bootstrap.servers = {b}
{from}->{to}.enabled = {enabled}
{from}->{to}.topics = {topics}
emit.heartbeats.enabled = false
emit.checkpoints.interval.seconds = 5
refresh.topics.interval.seconds = 1
replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
status.address = 127.0.0.1:0
`)
	return os.WriteFile(m.config, []byte(text+more), 0o600)
}

var addressLogged = regexp.MustCompile(`"address":"([^"]+)"`)

// start starts one more process and returns when its page is there.
func (m *mirrored) start(ctx context.Context) (*running, error) {
	m.starts++
	p := &running{log: filepath.Join(m.dir, fmt.Sprintf("log-%d", m.starts))}
	var err error
	if p.Process, err = proc.Start(p.log, m.program, m.config); err != nil {
		return nil, err
	}
	m.running = append(m.running, p)
	return p, until(ctx, "the status page", func() error {
		text, err := os.ReadFile(p.log)
		if found := addressLogged.FindSubmatch(text); found != nil {
			p.at = string(found[1])
			return nil
		}
		return errors.Join(err, p.ended(), errors.New("it has not told its address"))
	})
}

// kill ends all processes with SIGKILL.
func (m *mirrored) kill() {
	for _, p := range m.running {
		p.Kill()
	}
	m.running = nil
}

func (m *mirrored) stop() {
	for _, p := range m.running {
		_ = p.Stop(stopPatience)
	}
	m.running = nil
}

// ended is an error when a process has ended by itself.
func (m *mirrored) ended() (err error) {
	for _, p := range m.running {
		err = errors.Join(err, p.ended())
	}
	return err
}

func (p *running) ended() error {
	if err := p.ExitedWith(); err != nil {
		return over{err}
	}
	return nil
}

var pages = http.Client{Timeout: 5 * time.Second}

func (p *running) get(path string) (status int, body []byte, err error) {
	response, err := pages.Get("http://" + p.at + path)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// standing is as much of /api/status as the bench looks at.
type standing struct {
	Ready bool `json:"ready"`
	Flows []struct {
		Groups *struct {
			Positions map[string]int `json:"positions"`
		} `json:"groups"`
		Members []struct {
			Partitions int `json:"partitions"`
		} `json:"members"`
	} `json:"flows"`
}

func (p *running) standing() (s standing, err error) {
	_, body, err := p.get("/api/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// metric is a value of /metrics that a process has once.
func (p *running) metric(name string) (float64, error) {
	_, body, err := p.get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, name+"{") {
			return strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]), 64)
		}
	}
	return 0, fmt.Errorf("/metrics lacks %s", name)
}

// archived is where the archive of a topic ends: for each partition the offset behind the last one that is durable.
func (m *mirrored) archived(ctx context.Context, topic string) (next [partitions]int64, err error) {
	err = eachBundle(ctx, m.folder, func(_ int64, footer bundle.Footer) {
		for _, e := range footer.Chunks {
			if e.Topic.Name == topic {
				next[e.Partition] = max(next[e.Partition], int64(e.Next))
			}
		}
	})
	return next, err
}
