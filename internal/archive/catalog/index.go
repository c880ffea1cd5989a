package catalog

import (
	"context"
	"crypto/sha256"

	"tandem/internal/archive/store"
)

// IndexStore is where index objects are written: see store.Store for the contracts.
type IndexStore interface {
	Store
	Put(ctx context.Context, name string, body store.Body, digest [sha256.Size]byte) error
}

// WriteIndex writes index objects for hours that are over.
func WriteIndex(ctx context.Context, st IndexStore, o Options, objects []Object) (written int, err error) {
	return 0, nil
}
