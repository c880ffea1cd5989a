package cache

import (
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// The lock is between open files, so goroutines of one process exclude each other as processes do.
func TestLockExcludes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	var inside atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				unlock, err := Lock(file)
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d are inside at once", n)
				}
				runtime.Gosched() // an invitation to the others
				inside.Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
}
