package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// This is a second reader of index objects, made from docs/archive-format.md: package catalog has the one that uses them.
const (
	indexMagic  = "\x89TDX\r\n\x1a\n"
	indexSuffix = ".tdx"
	indexLimit  = 128 << 20

	atFooterSHA = 12 // in the trailer
)

const doRebuild = "archive rebuild --all writes index objects anew; nothing is lost with one"

var errIndex = errors.New("it is not what was written")

// indexes compares index objects with the footers that they summarize. Index objects only save requests; what is wrong with one is told
// all the same, and a bundle that it names and that is gone is missed.
func (r *run) indexes(ctx context.Context) error {
	folder := strings.TrimSuffix(bundle.Folder("", r.options.Source), "bundles/") + "index/"
	known := make(map[string]*link, len(r.chain.links))
	for i := range r.chain.links {
		known[r.chain.links[i].object] = &r.chain.links[i]
	}
	missed := make(map[string]bool)
	for info, err := range r.store.List(ctx, folder, "") {
		if err != nil {
			return fmt.Errorf("list index objects: %w", err)
		}
		b, err := r.index(ctx, info)
		if err != nil && !errors.Is(err, errIndex) {
			if brief(err) {
				continue // rebuild removed it
			}
			return err
		}
		if r.Indexes++; err == nil {
			err = tails(b, func(name string, size int64, tail []byte) error {
				return r.summary(known, missed, info.Name, name, size, tail)
			})
		}
		if err != nil {
			r.found(Finding{Object: info.Name, What: err.Error(), Do: doRebuild})
		}
	}
	return nil
}

// index reads an index object, and compares it with the digest that its name and its end have.
func (r *run) index(ctx context.Context, info store.Info) ([]byte, error) {
	name, ok := strings.CutSuffix(path.Base(info.Name), indexSuffix)
	_, sum, dash := strings.Cut(name, "-")
	want, err := hex.DecodeString(sum)
	if !ok || !dash || err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("it has no name of an index object: %w", errIndex)
	}
	if info.Size < int64(len(indexMagic)+2+sha256.Size) || info.Size > indexLimit {
		return nil, fmt.Errorf("an index object of %d bytes: %w", info.Size, errIndex)
	}
	body, err := r.store.Get(ctx, info.Name, 0, info.Size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := make([]byte, info.Size)
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, err
	}
	got := sha256.Sum256(b[:len(b)-sha256.Size])
	if !bytes.Equal(got[:], want) || !bytes.Equal(b[len(b)-sha256.Size:], want) {
		return nil, fmt.Errorf("its SHA-256 differs from the one in its name: %w", errIndex)
	}
	return b[:len(b)-sha256.Size], nil
}

// tails goes through the ends of bundles in an index object.
func tails(b []byte, each func(name string, size int64, tail []byte) error) error {
	short := fmt.Errorf("its list of bundles is cut off: %w", errIndex)
	rest, ok := bytes.CutPrefix(b, []byte(indexMagic))
	if !ok || len(rest) < 1 || rest[0] != 1 {
		return fmt.Errorf("no index object of a version that is known: %w", errIndex)
	}
	rest = rest[1:]
	number := func() uint64 {
		v, n := binary.Uvarint(rest)
		if ok = ok && n > 0; ok {
			rest = rest[n:]
		}
		return v
	}
	take := func() []byte {
		n := number()
		if ok = ok && n <= uint64(len(rest)); !ok {
			return nil
		}
		v := rest[:n]
		rest = rest[n:]
		return v
	}
	for n := number(); ok && n > 0; n-- {
		name, size, tail := take(), number(), take()
		if !ok {
			return short
		}
		if err := each(string(name), int64(size), tail); err != nil {
			return err
		}
	}
	if !ok || len(rest) > 0 {
		return short
	}
	return nil
}

// summary compares what an index has of a bundle with the bundle.
func (r *run) summary(known map[string]*link, missed map[string]bool, index, name string, size int64, tail []byte) error {
	if len(tail) < leastBundle {
		return fmt.Errorf("it has %d bytes of %s: %w", len(tail), name, errIndex)
	}
	footer, trailer := tail[:len(tail)-leastBundle], tail[len(tail)-leastBundle:]
	if sum := sha256.Sum256(footer); !bytes.Equal(sum[:], trailer[atFooterSHA:atFooterSHA+sha256.Size]) {
		return fmt.Errorf("it has another footer of %s than its trailer says: %w", name, errIndex)
	}
	digest := bundle.Digest(sha256.Sum256(trailer))
	h, err := bundle.ParseName("", name)
	if err != nil {
		return fmt.Errorf("it has %q, which is no bundle: %w", name, errIndex)
	}
	switch l := known[name]; {
	case l == nil && !r.removed.digests[digest] && !r.removed.has(numberOf(h)) && !missed[name]:
		missed[name] = true
		r.found(Finding{Object: name, Do: doCopy, What: fmt.Sprintf("the bundle is gone, and nothing says that it was removed: %s has it, with %d bytes", index, size)})
	case l != nil && l.opened && l.digest != digest:
		return fmt.Errorf("it has another end of %s than the bundle has: %w", name, errIndex)
	}
	return nil
}
