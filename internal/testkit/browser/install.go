package browser

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"tandem/internal/testkit/cache"
)

// installed finds the program once per process.
var installed = sync.OnceValues(func() (string, error) {
	return find(os.Getenv("CHROMIUM"), exec.LookPath, install)
})

var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// find is the named program, or the first that PATH has, or what an installation brings.
func find(named string, look func(string) (string, error), install func() error) (string, error) {
	if named != "" {
		path, err := look(named)
		if err != nil {
			return "", fmt.Errorf("find the browser of $CHROMIUM: %w", err)
		}
		return path, nil
	}
	for range 2 {
		for _, name := range names {
			if path, err := look(name); err == nil {
				return path, nil
			}
		}
		if err := install(); err != nil {
			return "", fmt.Errorf("find a browser: none of %s is in PATH, and %w; install it (Debian: apt-get install chromium) or name one with $CHROMIUM",
				strings.Join(names, ", "), err)
		}
	}
	return "", errors.New("find a browser: Debian's package chromium is installed, but PATH has no program of that name")
}

// install gets Debian's package. Two tests that find nothing take turns; the second finds it done in a moment.
func install() error {
	if os.Getuid() != 0 {
		return errors.New("only root can install it")
	}
	unlock, err := cache.Lock(filepath.Join(os.TempDir(), "tandem-chromium.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	get := func() error { return run("apt-get", "-q", "install", "-y", "--no-install-recommends", "chromium") }
	err = get()
	if err == nil || errors.Is(err, exec.ErrNotFound) {
		return err
	}
	if err := run("apt-get", "-q", "update"); err != nil { // the lists of the machine may be old, or missing
		return err
	}
	return get()
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %.2000s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
