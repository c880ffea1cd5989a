package keys

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"tandem/internal/archive/bundle"
)

// ErrSetting says that a URL, or the file that it names, is not one to take a key from: a person has to change something.
var ErrSetting = errors.New("key cannot be used")

const (
	dataKeySize = 32
	unwrapped   = 4096             // data keys that are kept: reading an archive opens each bundle several times
	patience    = 30 * time.Second // for one answer of a service
)

// Key is what may be shown of a key.
type Key struct {
	URL string // without parameters
	ID  string // as bundles name it
}

// wrapper wraps with one key. An error that wraps bundle.ErrKey says that it is the wrong one.
type wrapper interface {
	wrap(ctx context.Context, key, aad []byte) ([]byte, error)
	unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
	close() error
}

type held struct {
	Key
	wrapper
}

// Ring is a bundle.Keeper of several keys: the first one wraps, all unwrap. It is safe for concurrent use.
type Ring struct {
	keys  []held
	known *lru.Cache[[sha256.Size]byte, [dataKeySize]byte]
}

// Open opens the keys of archive.encryption.key.url. Key files are read; services are not asked for anything yet.
func Open(ctx context.Context, urls []string) (*Ring, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("no key is named: %w", ErrSetting)
	}
	known, err := lru.New[[sha256.Size]byte, [dataKeySize]byte](unwrapped)
	if err != nil {
		return nil, err
	}
	r := &Ring{known: known}
	for i, raw := range urls {
		k, err := open(ctx, raw)
		if err != nil {
			_ = r.Close() // nothing was done with them
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(urls), err)
		}
		r.keys = append(r.keys, k)
	}
	return r, nil
}

// Keys are the keys of the ring; the first one wraps.
func (r *Ring) Keys() []Key {
	all := make([]Key, len(r.keys))
	for i, k := range r.keys {
		all[i] = k.Key
	}
	return all
}

// Wrap is bundle.Keeper.
func (r *Ring) Wrap(ctx context.Context, key, aad []byte) (wrapped []byte, keyID string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	first := r.keys[0]
	if wrapped, err = first.wrap(ctx, key, aad); err != nil {
		return nil, "", fmt.Errorf("wrap with %s: %w", first.ID, err)
	}
	r.remember(first.ID, wrapped, aad, key)
	return wrapped, first.ID, nil
}

// Unwrap is bundle.Keeper.
func (r *Ring) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	if key, ok := r.known.Get(place(keyID, wrapped, aad)); ok {
		return key[:], nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var failed error
	passes := false
	for _, k := range r.keys {
		if k.ID != keyID {
			continue
		}
		key, err := k.unwrap(ctx, wrapped, aad)
		if err == nil {
			r.remember(keyID, wrapped, aad, key)
			return key, nil
		}
		if !errors.Is(err, bundle.ErrKey) {
			passes = true
		}
		failed = errors.Join(failed, err)
	}
	switch {
	case failed == nil:
		return nil, fmt.Errorf("the key is not among those given (%s): %w", strings.Join(r.ids(), ", "), bundle.ErrKey)
	case passes: // of two keys with one id the one that does not answer may be the right one
		return nil, fmt.Errorf("unwrap with %s: %w", keyID, passing{failed})
	}
	return nil, fmt.Errorf("unwrap with %s: %w", keyID, failed)
}

// passing hides the ErrKey of one key behind the error of another, which may pass.
type passing struct{ error }

func (r *Ring) ids() []string {
	var ids []string
	for _, k := range r.keys {
		if !slices.Contains(ids, k.ID) {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

func (r *Ring) remember(keyID string, wrapped, aad, key []byte) {
	if len(key) == dataKeySize {
		r.known.Add(place(keyID, wrapped, aad), [dataKeySize]byte(key))
	}
}

// place is where an unwrapped key is remembered. The lengths keep the three apart.
func place(keyID string, wrapped, aad []byte) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d\n%s", len(keyID), len(wrapped), len(aad), keyID)
	h.Write(wrapped)
	h.Write(aad)
	return [sha256.Size]byte(h.Sum(nil))
}

// Close gives up connections, and forgets the keys.
func (r *Ring) Close() error {
	r.known.Purge()
	var err error
	for _, k := range r.keys {
		err = errors.Join(err, k.close())
	}
	return err
}
