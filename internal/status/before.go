package status

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// plain is what cmd/mirror has before it implements Source.
type plain interface {
	Partitions(ctx context.Context) (all []Partition, started bool, waitingFor string)
	Archives() []Archive
}

// Listen is Open for a source that tells no more than that. It goes when nobody calls it.
func Listen(address string, source plain, metrics prometheus.Gatherer) (*Server, error) {
	return Open(address, Options{}, lesser{source}, metrics)
}

type lesser struct{ plain }

func (l lesser) Partitions(ctx context.Context) []Partition {
	all, _, _ := l.plain.Partitions(ctx)
	return all
}

func (l lesser) Samples(context.Context) []Sample { return nil }

func (l lesser) Settings() []Setting { return nil }

func (l lesser) Report(ctx context.Context) Report {
	all, started, waiting := l.plain.Partitions(ctx)
	r := Report{Ready: started, Waiting: waiting, Archives: l.Archives()}
	f := Flow{Partitions: map[string]int{}}
	for _, p := range all {
		f.Partitions[p.State]++
		if !p.Ready {
			r.Ready = false
			f.Standing = append(f.Standing, p)
		}
	}
	r.Flows = append(r.Flows, f)
	return r
}
