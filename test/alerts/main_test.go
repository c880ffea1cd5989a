package alerts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tandem/internal/testkit/realkafka"
)

// mirrorBinary is the program under test.
var mirrorBinary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "alerts-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mirrorBinary = filepath.Join(dir, "mirror")
	if out, err := exec.Command("go", "build", "-o", mirrorBinary, "tandem/cmd/mirror").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build mirror: %v\n%s", err, out)
		return 1
	}
	return realkafka.Main(m)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
