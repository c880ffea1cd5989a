package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tandem/internal/testkit/realkafka"
)

// The programs under test.
var mirrorBinary, failoverBinary, archiveBinary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mirror-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mirrorBinary, failoverBinary, archiveBinary = filepath.Join(dir, "mirror"), filepath.Join(dir, "failover"), filepath.Join(dir, "archive")
	args := []string{"build", "-o", dir}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "tandem/cmd/mirror", "tandem/cmd/failover", "tandem/cmd/archive")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	return realkafka.Main(m)
}

// brokerConfig lets the log cleaner look every second, since tests wait for holes in compacted topics, and keeps records
// whose timestamps are old.
var brokerConfig = map[string]string{"log.cleaner.backoff.ms": "1000", "log.retention.ms": "-1"}

// clusters are the two that all tests share.
func clusters(t *testing.T) (a, b side) {
	t.Helper()
	o := realkafka.Options{Config: brokerConfig}
	return on(t, realkafka.Shared(t, "A", o)), on(t, realkafka.Shared(t, "B", o))
}

func long() bool { return os.Getenv("TANDEM_LONG") != "" }
