package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tandem/internal/kafka"
	"tandem/internal/stream"
)

const (
	certificatesEvery = 12 * time.Hour
	certificatesSoon  = 30 * 24 * time.Hour // before the end a certificate is told
	certificatesOnce  = time.Minute         // in which all clients of a changed file have seen it
)

// tellRenewals tells once of each keystore and truststore that has changed, whatever number of clients uses it.
func (f *flow) tellRenewals() {
	var mu sync.Mutex // guards last
	type told struct {
		reason string
		at     time.Time
	}
	last := make(map[string]told)
	tell := func(r kafka.Renewal) {
		now := told{at: time.Now()}
		if r.Err != nil {
			now.reason = r.Err.Error()
		}
		mu.Lock()
		was, known := last[r.File]
		last[r.File] = now
		mu.Unlock()
		switch {
		case known && was.reason == now.reason && now.at.Sub(was.at) < certificatesOnce:
		case r.Err != nil:
			f.tell(stream.Error, "a changed file is of no use, and what it held before stays in use", stream.F("file", r.File), stream.F("error", r.Err))
		default:
			f.tell(stream.Info, "a changed file is in use for new connections", stream.F("file", r.File))
		}
	}
	for _, w := range f.clients.ways {
		w.client.OnRenewal(tell)
	}
}

// watchCertificates tells of certificates of ours that end soon, at the start and twice a day.
func (f *flow) watchCertificates(ctx context.Context) error {
	tick := time.NewTicker(certificatesEvery)
	defer tick.Stop()
	for {
		for _, line := range f.ending(time.Now()) {
			f.tell(stream.Warn, line)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ending are the certificates that end soon, or have ended, a line each.
func (f *flow) ending(now time.Time) (lines []string) {
	seen := make(map[kafka.CertificateInfo]bool)
	for _, w := range f.clients.ways {
		for _, c := range w.client.Certificates() {
			if seen[c] || c.NotAfter.Sub(now) > certificatesSoon {
				continue
			}
			seen[c] = true
			what := "the certificate"
			if c.Trusted {
				what = "the trusted certificate"
			}
			when := fmt.Sprintf("ends in %d days", int(c.NotAfter.Sub(now).Hours()/24))
			if c.NotAfter.Before(now) {
				when = "has ended"
			}
			lines = append(lines, fmt.Sprintf("%s %s of cluster %s %s (%s; %s); replace it, a restart is not needed",
				what, c.Subject, w.cluster, when, c.NotAfter.UTC().Format(time.RFC3339), c.File))
		}
	}
	return lines
}
