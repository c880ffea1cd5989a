package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// folder keeps objects as files. It is not gocloud's: that one looks whether a file is there and then renames over it, so
// that two writers at once both succeed, and it never syncs to disk.
//
//	DIR/incoming file    .incoming-*   being written; gone after a day should its writer have died
//	DIR/NAME             the object    linked to its name when complete and synced
type folder struct {
	root  string
	sweep sync.Once
}

const incoming = ".incoming-"

func openFolder(u *url.URL) (backend, error) {
	if u.Host != "" || u.Path == "" {
		return nil, errors.New("want file:///DIR, with three slashes")
	}
	f := &folder{root: filepath.FromSlash(u.Path)}
	// It is not made: where a disk is not mounted an archive would begin anew on another one.
	if err := f.present(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *folder) path(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }

func (f *folder) present() error {
	info, err := os.Stat(f.root)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
		return fmt.Errorf("%w: %s", errNoRoot, f.root)
	case err != nil:
		return err
	}
	return nil
}

// absent returns errMissing when err says that a file is not there, and the folder of all files is.
func (f *folder) absent(err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	if err := f.present(); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errMissing, err)
}

// create writes and syncs under another name; link then fails where the name is taken. Killed anywhere, the object is whole
// or not there.
func (f *folder) create(ctx context.Context, name string, body *summed, moved func()) error {
	f.sweep.Do(f.removeStale)
	temp, err := f.write(ctx, body, moved)
	if temp != "" {
		defer func() { _ = os.Remove(temp) }() // what stays is swept up a day later
	}
	if err != nil {
		return err
	}
	path := f.path(name)
	for range 8 { // a delete may remove the directory, empty still, between the two steps
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err = os.Link(temp, path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	exists := errors.Is(err, fs.ErrExist)
	if err != nil && !exists {
		return err
	}
	// Also when it exists: the try that made it may not have come as far as here.
	if err := f.syncDirs(filepath.Dir(path)); err != nil {
		return err
	}
	if exists {
		return fmt.Errorf("%w: %s", errExists, path)
	}
	return nil
}

func (f *folder) write(ctx context.Context, body *summed, moved func()) (string, error) {
	if err := f.present(); err != nil {
		return "", err
	}
	out, err := os.CreateTemp(f.root, incoming)
	if err != nil {
		return "", err
	}
	defer out.Close()
	n, err := copyTo(&filePieces{ctx, out, moved}, body.Body)
	if err == nil && n != body.Size() {
		err = errBody
	}
	if err != nil {
		return out.Name(), err
	}
	if err := out.Sync(); err != nil {
		return out.Name(), err
	}
	return out.Name(), out.Close()
}

// filePieces writes to a file until ctx ends.
type filePieces struct {
	ctx   context.Context //nolint:containedctx // io.Writer has none, and this lives for one call
	to    io.Writer
	moved func()
}

func (p *filePieces) Write(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.to.Write(b)
	p.moved()
	return n, err
}

// syncDirs makes names durable, from the directory up to the root: those above may be new too.
func (f *folder) syncDirs(dir string) error {
	for {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = d.Sync()
		d.Close()
		if err != nil {
			return err
		}
		if dir == filepath.Clean(f.root) || len(dir) <= len(f.root) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// removeStale is for what killed writers left. What it cannot remove does no harm.
func (f *folder) removeStale() {
	entries, _ := os.ReadDir(f.root)
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), incoming) && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.Remove(filepath.Join(f.root, e.Name()))
		}
	}
}

func (f *folder) open(_ context.Context, name string, offset, length int64) (io.ReadCloser, int64, error) {
	file, err := os.Open(f.path(name))
	if err != nil {
		return nil, 0, f.absent(err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%w: a directory", errMissing)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	if length < 0 {
		length = max(0, info.Size()-offset)
	}
	return sectionCloser{io.NewSectionReader(file, offset, length), file}, info.Size(), nil
}

type sectionCloser struct {
	*io.SectionReader
	io.Closer
}

func (f *folder) stat(_ context.Context, name string) (Info, error) {
	info, err := os.Stat(f.path(name))
	if err != nil {
		return Info{}, f.absent(err)
	}
	if info.IsDir() {
		return Info{}, fmt.Errorf("%w: a directory", errMissing)
	}
	return Info{Size: info.Size(), Modified: info.ModTime()}, nil
}

// remove takes directories that became empty with it: there is one for each hour.
func (f *folder) remove(_ context.Context, name string) error {
	path := f.path(name)
	if err := os.Remove(path); err != nil {
		return f.absent(err)
	}
	if err := f.syncDirs(filepath.Dir(path)); err != nil {
		return err
	}
	f.removeEmpty(filepath.Dir(path))
	return nil
}

// removeEmpty ends at the first directory that cannot be removed, since something is in it.
func (f *folder) removeEmpty(dir string) {
	for len(dir) > len(filepath.Clean(f.root)) && os.Remove(dir) == nil {
		dir = filepath.Dir(dir)
	}
}

func (f *folder) digest(context.Context, string) (sum [sha256.Size]byte, ok bool, err error) {
	return sum, false, nil
}

func (f *folder) close() error { return nil }

func (f *folder) page(_ context.Context, prefix, after string, token []byte) ([]Info, []byte, error) {
	if token != nil {
		after = string(token)
	}
	if err := f.present(); err != nil {
		return nil, nil, err
	}
	w := &walk{folder: f, prefix: prefix, after: after}
	if err := w.dir(""); err != nil && !errors.Is(err, errPageFull) {
		return nil, nil, err
	}
	if len(w.found) < pageSize {
		return w.found, nil, nil
	}
	return w.found, []byte(w.found[pageSize-1].Name), nil
}

var errPageFull = errors.New("page full")

// walk collects a page in the order of whole names.
type walk struct {
	*folder
	prefix, after string
	found         []Info
}

// dir visits a directory: "" or a name with a slash at the end. A directory sorts as if it had the slash, as its files do.
func (w *walk) dir(dir string) error {
	entries, err := os.ReadDir(w.path(dir))
	if errors.Is(err, fs.ErrNotExist) && dir != "" {
		return nil // removed meanwhile, as empty directories are
	}
	if err != nil {
		return err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		switch name := dir + e.Name(); {
		case CheckName(name) != nil: // not ours
		case e.IsDir():
			names = append(names, name+"/")
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.visit(name); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) visit(name string) error {
	if strings.HasSuffix(name, "/") {
		outside := !strings.HasPrefix(name, w.prefix) && !strings.HasPrefix(w.prefix, name)
		passed := name <= w.after && !strings.HasPrefix(w.after, name)
		if outside || passed {
			return nil
		}
		return w.dir(name)
	}
	if !strings.HasPrefix(name, w.prefix) || name <= w.after {
		return nil
	}
	info, err := os.Stat(w.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	w.found = append(w.found, Info{Name: name, Size: info.Size(), Modified: info.ModTime()})
	if len(w.found) == pageSize {
		return errPageFull
	}
	return nil
}
