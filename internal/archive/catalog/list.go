package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/store"
)

// List lists the bundles of a source, by name. strange is what stands in their folder and is none.
func List(ctx context.Context, st Store, source string) (objects []Object, strange []store.Info, err error) {
	for info, err := range st.List(ctx, bundle.Folder("", source), "") {
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
