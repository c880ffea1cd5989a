package debian

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tandem/internal/testkit/cache"
)

// Tool is the path of a command, /usr/bin/promtool of the package prometheus, say. The test fails where it cannot be had: what it
// proves must not go missing unseen.
func Tool(t testing.TB, pkg, path string) string {
	t.Helper()
	root, err := cache.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	tool, err := find(filepath.Join(root, ".cache", "debian"), pkg, path)
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

func find(below, pkg, path string) (string, error) {
	if tool, err := exec.LookPath(filepath.Base(path)); err == nil {
		return tool, nil
	}
	tool, err := unpacked(below, pkg, path)
	if err != nil {
		return "", fmt.Errorf("find %s, which is neither in PATH nor to be had: %w; install it (Debian: apt-get install %s)", filepath.Base(path), err, pkg)
	}
	return tool, nil
}

// unpacked is the command in below/PACKAGE, which is there as a whole or not at all.
func unpacked(below, pkg, path string) (string, error) {
	dir := filepath.Join(below, pkg)
	if err := os.MkdirAll(below, 0o755); err != nil {
		return "", err
	}
	unlock, err := cache.Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	tool := filepath.Join(dir, path)
	if _, err := os.Stat(dir); err != nil {
		if err := fetch(below, pkg, dir); err != nil {
			return "", err
		}
	}
	if _, err := exec.LookPath(tool); err != nil {
		return "", fmt.Errorf("package %s in %s: %w", pkg, dir, err)
	}
	return tool, nil
}

// fetch downloads and unpacks beside the place, and moves it there when it is complete.
func fetch(below, pkg, dir string) error {
	work, err := os.MkdirTemp(below, "incoming-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := download(work, pkg); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("apt-get download %s has left %d packages", pkg, len(files))
	}
	tree := filepath.Join(work, "tree")
	if err := run(work, "dpkg-deb", "-x", files[0], tree); err != nil {
		return err
	}
	return os.Rename(tree, dir)
}

// download asks for new lists of packages where those of the machine do not have the package, or one that is no longer kept.
func download(work, pkg string) error {
	// As root, apt-get would lower its rights and then could not write into our directory.
	get := func() error { return run(work, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", pkg) }
	err := get()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return err
	case os.Getuid() != 0:
		return fmt.Errorf("%w (apt-get update may help, and needs root)", err)
	}
	if err := run(work, "apt-get", "-q", "update"); err != nil {
		return err
	}
	return get()
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, args[len(args)-1], err, bytes.TrimSpace(out))
	}
	return nil
}
