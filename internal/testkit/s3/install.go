package s3

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"tandem/internal/testkit/cache"
)

// Version is the release of versitygw that runs.
const Version = "v1.8.0"

const module = "github.com/versity/versitygw/cmd/versitygw@" + Version

// installed makes sure, once per process, that the program is there, and returns its path.
var installed = sync.OnceValues(func() (string, error) {
	root, err := cache.ModuleRoot()
	if err != nil {
		return "", err
	}
	return install(filepath.Join(root, ".cache", "versitygw-"+Version))
})

// install builds the program in a directory of its own and moves it to its place when complete: an interrupted run leaves
// nothing that looks done.
func install(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install versitygw: %w", err)
	}
	unlock, err := cache.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("install versitygw: %w", err)
	}
	defer unlock()
	program := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	work, err := os.MkdirTemp(dir, "incoming-")
	if err != nil {
		return "", fmt.Errorf("install versitygw: %w", err)
	}
	defer os.RemoveAll(work)
	cmd := exec.Command("go", "install", module)
	cmd.Dir = work // outside of any module's reach: the version above decides alone
	cmd.Env = append(os.Environ(), "GOBIN="+work, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", module, err, out)
	}
	if err := os.Rename(filepath.Join(work, "versitygw"), program); err != nil {
		return "", fmt.Errorf("install versitygw: %w", err)
	}
	return program, nil
}
