package realkafka

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// shared holds the clusters that the tests of one package have in common.
var shared struct {
	sync.Mutex
	dir      string // of Main; empty outside of it
	clusters map[string]*Cluster
}

// Main is for TestMain: it runs the tests and then ends the clusters that Shared has started.
//
//	func TestMain(m *testing.M) { os.Exit(realkafka.Main(m)) }
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "realkafka-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir, shared.clusters = dir, map[string]*Cluster{}
	code := m.Run()
	for _, c := range shared.clusters {
		c.Stop()
	}
	return code
}

// Shared is the package's cluster of that name, started by the first test that asks for it. Tests keep apart by their
// topics and groups and leave the brokers running. Options count only at the start.
func Shared(t testing.TB, name string, o Options) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.dir == "" {
		t.Fatal("a shared cluster needs `func TestMain(m *testing.M) { os.Exit(realkafka.Main(m)) }`")
	}
	c := shared.clusters[name]
	if c == nil {
		var err error
		if c, err = StartCluster(filepath.Join(shared.dir, name), o); err != nil {
			t.Fatal(err)
		}
		shared.clusters[name] = c
	}
	t.Cleanup(func() { c.logFailure(t) })
	return c
}
