package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/s3"
)

// held is what the bundles in a folder say that they hold.
type held struct {
	bytes   int64
	objects int
	records int64
}

// readArchive reads the footers of all bundles below a folder.
func readArchive(ctx context.Context, dir string) (h held, err error) {
	err = eachBundle(ctx, dir, func(size int64, footer bundle.Footer) {
		h.objects++
		h.bytes += size
		for _, e := range footer.Chunks {
			h.records += e.Records
		}
	})
	return h, err
}

// eachBundle reads the footers of all bundles below a folder. They are found by the ends of their names, so it does not matter
// whether a store or a server of objects has put them there.
func eachBundle(ctx context.Context, dir string, see func(size int64, footer bundle.Footer)) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was being written
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".tdm") {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		r, err := bundle.Open(ctx, f, info.Size(), bundle.OpenOptions{})
		if err != nil {
			return err
		}
		see(info.Size(), r.Footer())
		return nil
	})
}

// catchUp starts the mirror again, which has nothing to copy any more, until its archive is whole.
func (a *archiving) catchUp(ctx context.Context, c contender, t task, dir string) (cpu time.Duration, peak int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runPatience, fmt.Errorf("the archive is not whole after %s", runPatience))
	defer cancel()
	p, err := c.start(c, t)
	if err != nil {
		return 0, 0, err
	}
	defer p.Kill()
	watched := watchPeak(p)
	if _, err := archiveHolds(ctx, dir, a.job.records, p); err != nil {
		return 0, 0, fmt.Errorf("%w\nthe end of its log:\n%s", err, p.LogTail(40))
	}
	if err := p.Stop(stopPatience); errors.Is(err, proc.ErrKilled) {
		say("%s did not stop within %s of SIGTERM and was killed", c.name, stopPatience)
	}
	return p.TotalCPU(), watched(), nil
}

// startS3 runs the S3 server of the tests, with a bucket.
func startS3(dir string) (p place, stop func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, nil, err
	}
	h := &harness{dir: dir}
	defer func() {
		if r := recover(); r == h {
			err = errors.New("start the S3 server: " + h.why)
		} else if r != nil {
			panic(r)
		}
	}()
	server := s3.Start(h)
	const bucket = "bench"
	server.Bucket(h, bucket, false)
	return place{
		name: teeName + "-s3",
		url:  func(t task) (string, error) { return s3.URL(server.Endpoint(), bucket, t.alias), nil },
		dir:  func(t task) string { return filepath.Join(server.Folder(bucket), t.alias) },
	}, server.Stop, nil
}

// harness is as much of a test as the S3 server for tests wants.
type harness struct {
	testing.TB
	dir, why string
}

func (h *harness) Helper()                  {}
func (h *harness) Cleanup(func())           {} // the bench stops the server itself
func (h *harness) TempDir() string          { return h.dir }
func (h *harness) Context() context.Context { return context.Background() }

func (h *harness) Setenv(name, value string) {
	if err := os.Setenv(name, value); err != nil {
		h.Fatal(err)
	}
}

// Fatal ends what a test would end: see startS3.
func (h *harness) Fatal(args ...any) {
	h.why = fmt.Sprint(args...)
	panic(h)
}
