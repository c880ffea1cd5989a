package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

const (
	peerName    = "oso"
	peerVersion = "0.25.2" // as in peer/Cargo.toml
)

//go:embed peer/Cargo.toml peer/src/main.rs
var peerSource embed.FS

// errNoCargo: everything else can be measured without it.
var errNoCargo = errors.New("cargo is not installed, and the backup peer is written in Rust")

// buildPeer compiles the backup peer in .cache at the root of the repository, where it stays: the first time takes minutes.
var buildPeer = sync.OnceValues(func() (string, error) {
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		return "", errNoCargo
	}
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), ".cache", "backup-peer-"+peerVersion)
	if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	for _, name := range []string{"Cargo.toml", "src/main.rs"} {
		if err := putPeerSource(dir, name); err != nil {
			return "", err
		}
	}
	say("building the backup peer %s, which takes minutes the first time", peerVersion)
	cmd := exec.Command(cargo, "build", "--release", "--quiet")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the backup peer: %w\n%s", err, out)
	}
	return filepath.Join(dir, "target", "release", "backup-peer"), nil
})

// putPeerSource leaves a file alone that is as it should be: cargo goes by the time of its change.
func putPeerSource(dir, name string) error {
	want, err := peerSource.ReadFile("peer/" + name)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, filepath.FromSlash(name))
	if have, err := os.ReadFile(file); err == nil && string(have) == string(want) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file, want, 0o644)
}

// peer is the backup peer's program; none, and said, where it cannot be built for want of cargo.
func (b *bench) peer(_ context.Context) (string, error) {
	program, err := buildPeer()
	if errors.Is(err, errNoCargo) {
		say("%s is left out: %v", peerName, err)
		return "", nil
	}
	return program, err
}
