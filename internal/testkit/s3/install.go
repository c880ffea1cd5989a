package s3

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Version is the release of versitygw that runs.
const Version = "v1.8.0"

const module = "github.com/versity/versitygw/cmd/versitygw@" + Version

// installed makes sure, once per process, that the program is there, and returns its path.
var installed = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
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
	unlock, err := lock(filepath.Join(dir, "lock"))
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

// lock waits for the exclusive right to the file. The kernel gives it back should this process die.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}

// moduleRoot is the directory of go.mod above the working directory; tests run in the directory of their package.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("find go.mod: run inside the repository")
	}
	return filepath.Dir(file), nil
}
