package realkafka

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tandem/internal/testkit/cache"
	"tandem/internal/testkit/proc"
)

// MM2s are several MirrorMaker 2s, one after the other or side by side, in one JVM: only the first pays for the start of it.
type MM2s struct {
	*proc.Process
	folder string
}

// StartMM2s starts the JVM, which runs nothing yet. The caller must Kill it.
// It starts quickly, as brokers of tests do, and logs no more than they do.
func StartMM2s(folder, logFile string) (*MM2s, error) {
	k, err := installed()
	if err != nil {
		return nil, err
	}
	root, err := cache.ModuleRoot()
	if err != nil {
		return nil, err
	}
	args := append(k.jvm([]string{"-Xmx1G", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"}),
		filepath.Join(root, "internal/testkit/realkafka/MM2s.java"), folder)
	p, err := proc.Start(logFile, k.java, args...)
	if err != nil {
		return nil, err
	}
	return &MM2s{Process: p, folder: folder}, nil
}

// Run has another file run, and returns when MM2 has started on it: what it does then comes later.
func (m *MM2s) Run(name, properties string, patience time.Duration) error {
	file := filepath.Join(m.folder, name+".properties")
	if err := os.WriteFile(file+".new", []byte(properties), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	return m.until(name, true, patience)
}

// End stops what Run has started, as SIGTERM would.
func (m *MM2s) End(name string, patience time.Duration) error {
	if err := os.Remove(filepath.Join(m.folder, name+".properties")); err != nil {
		return err
	}
	return m.until(name, false, patience)
}

func (m *MM2s) until(name string, running bool, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := os.Stat(filepath.Join(m.folder, name+".running"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if (err == nil) == running {
			return nil
		}
		select {
		case <-tick.C:
		case <-m.Done():
			return fmt.Errorf("run MM2 on %s: %w\n%s", name, m.ExitedWith(), m.LogTail(40))
		case <-deadline.C:
			return fmt.Errorf("run MM2 on %s: not within %s\n%s", name, patience, m.LogTail(40))
		}
	}
}
