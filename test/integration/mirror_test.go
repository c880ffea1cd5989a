package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/wait"
)

const (
	patience    = 90 * time.Second // after it a condition is taken for one that will never hold
	pollEvery   = 25 * time.Millisecond
	stopPromise = 5 * time.Second
)

// oneBroker is what clusters of one broker need in every file.
const oneBroker = `
replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
checkpoints.topic.replication.factor = 1
offset.storage.replication.factor = 1
config.storage.replication.factor = 1
status.storage.replication.factor = 1
refresh.topics.interval.seconds = 1
`

// quiet keeps heartbeats, which all aliases share, out of a test.
const quiet = `
emit.heartbeats.enabled = false
heartbeats.replication.enabled = false
`

// mirrorProcess is a running mirror.
type mirrorProcess struct {
	*proc.Process
	t       *testing.T
	logFile string
}

// filesOf are the files that tests have written, by test and text: a mirror that is started again has the file that it had, and with it
// its name in the group of its flow.
var filesOf sync.Map

// propertiesFile writes an mm2.properties file.
func propertiesFile(t *testing.T, text string) string {
	t.Helper()
	if file, ok := filesOf.Load(t.Name() + text); ok {
		return file.(string)
	}
	file := filepath.Join(t.TempDir(), "mm2.properties")
	filesOf.Store(t.Name()+text, file)
	t.Cleanup(func() { filesOf.Delete(t.Name() + text) })
	if !strings.Contains(text, "status.address") {
		text += "\nstatus.address = 127.0.0.1:0\n" // the default port is for one process on a machine
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startMirror runs `mirror FILE ARGS`. It ends with the test, whose failure prints its log.
func startMirror(t *testing.T, properties string, args ...string) *mirrorProcess {
	t.Helper()
	file := propertiesFile(t, properties)
	logFile := filepath.Join(t.TempDir(), "mirror.log")
	p, err := proc.Start(logFile, mirrorBinary, append([]string{file}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of mirror, pid %d:\n%s", p.PID(), p.LogTail(60))
		}
	})
	return &mirrorProcess{Process: p, t: t, logFile: logFile}
}

// stop sends SIGTERM and wants exit status 0 within the promised time.
func (m *mirrorProcess) stop() {
	m.t.Helper()
	m.waitFor("mirror starts") // before it a process ends as any does that knows nothing of SIGTERM
	began := time.Now()
	if err := m.Stop(stopPromise); err != nil {
		m.t.Fatalf("stop mirror after %s: %v", time.Since(began), err)
	}
}

// line is one line of mirror's log, as JSON gives it.
type line struct {
	Level, Msg, Flow, Error string
	Text                    string `json:"-"` // as written
}

// lines are the log lines whose text contains all the words.
func (m *mirrorProcess) lines(words ...string) []line {
	m.t.Helper()
	text, err := os.ReadFile(m.logFile)
	if err != nil {
		m.t.Fatal(err)
	}
	var found []line
next:
	for raw := range bytes.Lines(text) {
		for _, w := range words {
			if !bytes.Contains(raw, []byte(w)) {
				continue next
			}
		}
		l := line{Text: strings.TrimSpace(string(raw))}
		_ = json.Unmarshal(raw, &l) // the last line, an error, is plain text
		found = append(found, l)
	}
	return found
}

// waitFor waits for a log line.
func (m *mirrorProcess) waitFor(words ...string) {
	m.t.Helper()
	m.until(fmt.Sprintf("a log line with %q", words), func() error {
		if len(m.lines(words...)) == 0 {
			return fmt.Errorf("none yet")
		}
		return nil
	})
}

// until waits for a condition while mirror runs: should it end, the wait is over at once.
func (m *mirrorProcess) until(what string, holds func() error) {
	m.t.Helper()
	eventually(m.t, what, func() error {
		err := holds()
		if ended := m.ExitedWith(); err != nil && ended != nil {
			m.t.Fatalf("wait for %s: %v", what, ended)
		}
		return err
	})
}

// eventually waits until the condition holds, and tells why it does not.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	wait.Until(t, patience, pollEvery, what, holds)
}
