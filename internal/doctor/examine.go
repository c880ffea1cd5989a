package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Examine says what there is to say, the worst first.
func Examine(f *Facts) []Finding {
	var all []Finding
	add := func(more ...Finding) { all = append(all, more...) }
	add(f.file()...)
	var needs []Need
	for _, flow := range f.Flows {
		source := f.cluster(flow.Source)
		needs = append(needs, flow.Needs(source.Topics, source.Groups)...)
	}
	add(f.rights(needs)...)
	for i := range f.Clusters {
		c := &f.Clusters[i]
		add(c.reach()...)
		if c.reached() {
			add(c.look(f.Now)...)
		}
	}
	add(f.sameClusters()...)
	add(f.loops()...)
	for _, flow := range f.Flows {
		source, target := f.cluster(flow.Source), f.cluster(flow.Target)
		add(flow.selection(source)...)
		add(flow.names(source, target)...)
		add(flow.factors(source, target)...)
		add(flow.sizes(source, target)...)
		add(flow.times(source, target)...)
		add(flow.retention(source)...)
		add(flow.transactions(source)...)
		add(flow.groups(source)...)
		add(flow.others(target)...)
		add(flow.before(source, target)...)
	}
	add(f.archives()...)
	add(f.addresses()...)
	sortFindings(all)
	return all
}

func (f *Facts) file() []Finding {
	var all []Finding
	for _, p := range f.File {
		severity := Warning
		if p.Bad {
			severity = Blocker
		}
		all = append(all, Finding{Severity: severity, Check: "file", Key: p.Key, Line: p.Line, What: p.Text})
	}
	return all
}

func (c *Cluster) reach() []Finding {
	if c.reached() {
		return nil
	}
	what := "does not answer: " + c.Trouble
	do := fmt.Sprintf("start the cluster, or correct %s.bootstrap.servers (%s); nothing else of %s was looked at", c.Alias, c.Bootstrap, c.Alias)
	if c.Refused {
		what = "no way in: " + c.Trouble
		do = fmt.Sprintf("correct %s.security.protocol, %s.sasl.* or %s.ssl.*; nothing else of %s was looked at", c.Alias, c.Alias, c.Alias, c.Alias)
	}
	return []Finding{{Severity: Blocker, Check: "reach", Cluster: c.Alias, What: what, Do: do}}
}

const (
	skewWarned   = 2 * time.Second // clocks that are further apart
	expiryWarned = 30 * 24 * time.Hour
)

// look is about the cluster as a whole.
func (c *Cluster) look(now time.Time) []Finding {
	var all []Finding
	note := func(s Severity, check, what, do string) {
		all = append(all, Finding{Severity: s, Check: check, Cluster: c.Alias, What: what, Do: do})
	}
	lacks := make(map[string][]string)
	var versions, wanting []string
	for _, b := range c.Brokers {
		if b.Trouble != "" {
			note(Warning, "reach", fmt.Sprintf("broker %d at %s does not answer: %s", b.ID, b.Address, b.Trouble), "start it, or correct its advertised.listeners, which have to be reachable from here")
			continue
		}
		versions = union(versions, b.Version)
		for _, l := range b.Lacks {
			wanting = union(wanting, l)
			lacks[l] = append(lacks[l], fmt.Sprint(b.ID))
		}
	}
	for _, l := range wanting {
		note(Warning, "brokers", fmt.Sprintf("brokers %s lack %s", strings.Join(lacks[l], ", "), l),
			"upgrade; until then places are found and topics made anew are noticed in slower or weaker ways (docs/guarantees.md)")
	}
	if len(versions) > 1 {
		note(Note, "brokers", "brokers are of several versions: "+strings.Join(versions, ", "), "")
	}
	if c.NoAuthorizer {
		note(Note, "rights", "has no authorizer: everybody may do everything, and there are no ACLs to sync", "")
	}
	if apart := c.Ahead.Abs() - c.Within; c.Within > 0 && apart > skewWarned {
		way := "ahead of"
		if c.Ahead < 0 {
			way = "behind"
		}
		note(Warning, "clock", fmt.Sprintf("its clock is %s %s ours", c.Ahead.Abs().Round(100*time.Millisecond), way), "synchronise clocks (NTP): lags in seconds, heartbeats and restores by time are off by as much")
	}
	told := make(map[Certificate]bool)
	for _, cert := range c.Certificates {
		if told[cert] {
			continue // several logins have it
		}
		told[cert] = true
		switch left := cert.Expires.Sub(now); {
		case left <= 0:
			severity := Blocker
			if cert.Trusted {
				severity = Warning
			}
			note(severity, "certificates", fmt.Sprintf("%s expired on %s", cert.Of, cert.Expires.UTC().Format(time.DateOnly)), "renew it")
		case left < expiryWarned:
			note(Warning, "certificates", fmt.Sprintf("%s expires on %s, in %d days", cert.Of, cert.Expires.UTC().Format(time.DateOnly), int(left.Hours()/24)), "renew it")
		}
	}
	for _, u := range c.Unasked {
		note(Warning, "reach", "could not be found out: "+u, "try again, with a longer --timeout if time ran out")
	}
	return all
}

// sameClusters finds clusters that have two aliases.
func (f *Facts) sameClusters() []Finding {
	var all []Finding
	for i, a := range f.Clusters {
		for _, b := range f.Clusters[i+1:] {
			if a.ID == "" || a.ID != b.ID {
				continue
			}
			severity := Warning
			if slices.ContainsFunc(f.Flows, func(w Flow) bool {
				return w.Replicates && (w.Source == a.Alias && w.Target == b.Alias || w.Source == b.Alias && w.Target == a.Alias)
			}) {
				severity = Blocker
			}
			all = append(all, Finding{Severity: severity, Check: "same cluster", Cluster: a.Alias,
				What: fmt.Sprintf("%s and %s are one cluster (id %s)", a.Alias, b.Alias, a.ID),
				Do:   fmt.Sprintf("correct %s.bootstrap.servers or %s.bootstrap.servers", a.Alias, b.Alias)})
		}
	}
	return all
}

func (f *Facts) archives() []Finding {
	var all []Finding
	for _, a := range f.Archives {
		if a.Trouble == "" {
			continue
		}
		severity := Blocker
		if a.Passes {
			severity = Warning
		}
		all = append(all, Finding{Severity: severity, Check: "archive", Flow: a.Flow.String(), Key: "archive.url",
			What: "the archive's store cannot be listed: " + a.Trouble, Do: "see to the store, its credentials and their rights, or correct archive.url"})
	}
	return all
}

func (f *Facts) addresses() []Finding {
	var all []Finding
	for _, a := range f.Addresses {
		switch {
		case a.Taken == "":
		case a.Ours:
			all = append(all, Finding{Severity: Note, Check: "status page", Key: "status.address", What: a.Address + " is taken by a mirror that runs",
				Do: "nothing, if it is the one that is to run; a second one on this machine needs another status.address"})
		case a.Named:
			all = append(all, Finding{Severity: Blocker, Check: "status page", Key: "status.address", What: a.Taken, Do: "name a free address in status.address, or none with an empty one"})
		default:
			all = append(all, Finding{Severity: Warning, Check: "status page", Key: "status.address", What: a.Taken, Do: "mirror goes on without a status page; name a free address in status.address"})
		}
	}
	return all
}
