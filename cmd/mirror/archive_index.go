package main

import (
	"context"
	"time"

	"tandem/internal/archive/catalog"
	"tandem/internal/archive/store"
	"tandem/internal/stream"
)

const (
	indexEvery = 30 * time.Minute
	indexBack  = 6 * time.Hour // hours before that, which no process looked after, archive rebuild writes
)

// keepIndex writes the index objects of hours that are over. They only save requests to those who read the archive, so an error is no
// more than news.
func (a *archiving) keepIndex(ctx context.Context) error {
	ticker := time.NewTicker(indexEvery)
	defer ticker.Stop()
	for told := false; ; {
		var err error
		if a.hold.keepsRest() {
			err = a.writeIndex(ctx)
		}
		if err != nil && ctx.Err() == nil && !told {
			a.tell(stream.Warn, "an index object of the archive could not be written; it is tried again, and nothing depends on it", stream.F("error", err))
		}
		told = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (a *archiving) writeIndex(ctx context.Context) error {
	objects, err := catalog.ListSince(ctx, a.store, a.conf().Source, time.Now().Add(-indexBack))
	if err != nil {
		return err
	}
	_, err = catalog.WriteIndex(ctx, a.store, catalog.Options{Source: a.conf().Source}, objects)
	if store.Classify(err) == store.Conflict {
		return nil // another process wrote it a moment ago
	}
	return err
}
