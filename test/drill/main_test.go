package drill

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tandem/internal/testkit/realkafka"
)

// The programs under test.
var mirrorBinary, failoverBinary string

// brokerConfig lets the log cleaner look every second.
var brokerConfig = map[string]string{"log.cleaner.backoff.ms": "1000", "log.retention.ms": "-1"}

// The two clusters that all tests share. They are of this package alone, since one test edits their files.
var clusterA, clusterB *realkafka.Cluster

// dataB is where the broker of B keeps its logs.
var dataB string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "drill-")
	if err == nil {
		defer os.RemoveAll(dir)
		mirrorBinary, failoverBinary = filepath.Join(dir, "mirror"), filepath.Join(dir, "failover")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", dir, "tandem/cmd/mirror", "tandem/cmd/failover").CombinedOutput(); err != nil {
			err = fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	}
	if err == nil {
		o := realkafka.Options{Config: brokerConfig}
		started := make(chan error, 1)
		go func() {
			var err error
			clusterA, err = realkafka.StartCluster(filepath.Join(dir, "a"), o)
			started <- err
		}()
		clusterB, err = realkafka.StartCluster(filepath.Join(dir, "b"), o)
		if errA := <-started; err == nil {
			err = errA
		}
		dataB = filepath.Join(dir, "b", "broker-0", "data")
	}
	for _, c := range []*realkafka.Cluster{clusterA, clusterB} {
		if c != nil {
			defer c.Stop()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
