package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// List lists the bundles of a source, by name. strange is what stands in their folder and is none.
func List(ctx context.Context, st Store, source string) (objects []Object, strange []store.Info, err error) {
	return listAfter(ctx, st, source, "")
}

// NextGeneration is that of a command that writes bundles: the time in seconds, as generations have ten digits, or the one behind the last,
// should two commands run in one second, or a clock go back.
func NextGeneration(objects []Object, writer string, now time.Time) int64 {
	next := now.Unix()
	for _, o := range objects {
		if o.Header.Writer == writer {
			next = max(next, o.Header.Generation+1)
		}
	}
	return next
}

// ListSince lists the bundles that were begun in the hour of a time or later.
func ListSince(ctx context.Context, st Store, source string, since time.Time) ([]Object, error) {
	objects, _, err := listAfter(ctx, st, source, bundle.Folder("", source)+since.UTC().Format(indexHour))
	return objects, err
}

func listAfter(ctx context.Context, st Store, source, after string) (objects []Object, strange []store.Info, err error) {
	for info, err := range st.List(ctx, bundle.Folder("", source), after) {
		if err != nil {
			return nil, nil, fmt.Errorf("list bundles of %s: %w", source, err)
		}
		h, err := bundle.ParseName("", info.Name)
		if err != nil {
			strange = append(strange, info)
			continue
		}
		objects = append(objects, Object{Name: info.Name, Size: info.Size, Header: h})
	}
	slices.SortFunc(objects, func(a, b Object) int { return cmp.Compare(a.Name, b.Name) })
	return objects, strange, nil
}
