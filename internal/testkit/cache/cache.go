// Package cache is where tests keep what they install, and how those of several packages, which run at the same time, take turns.
package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ModuleRoot is the directory of go.mod above the working directory; tests run in the directory of their package.
func ModuleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find go.mod above %s: run inside the repository", start)
		}
	}
}

// Lock waits for the exclusive right to a file, against other processes, and returns how to give it back. The kernel gives it back
// too, should this process die.
func Lock(file string) (unlock func(), err error) {
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
