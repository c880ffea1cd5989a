package verify

import "context"

// indexes compares index objects with the footers that they summarize.
func (r *run) indexes(context.Context) error { return nil }
