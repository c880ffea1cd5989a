package catalog

import (
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/stream"
)

// View folds footers.
type View struct {
	state State
}

// NewView begins a View.
func NewView(source string, at time.Time, wanted func(topic string) bool) *View {
	return &View{state: State{Source: source, Moment: at}}
}

// Add folds a footer.
func (v *View) Add(o Object, f *bundle.Footer) {}

// AddDamaged notes an object that cannot be used.
func (v *View) AddDamaged(o Object, err error) {
	v.state.Damaged = append(v.state.Damaged, Damaged{o, err})
}

// State is what the archive says.
func (v *View) State() *State { return &v.state }

// ArchivedUntil is the offset below which everything was archived at t.
func (p Part) ArchivedUntil(t time.Time) stream.Upstream { return p.Next() }
