package config

import (
	"maps"
	"slices"
	"strings"

	"tandem/internal/stream"
)

// settings map a key, without the prefix of its scope, to the entry that decided it.
type settings map[string]entry

// clientKinds are the clients that a cluster can be given settings for.
var clientKinds = []string{"producer", "consumer", "admin"}

// workerPrefixes are the beginnings of bare keys that reach every worker, over ALIAS.KEY.
var workerPrefixes = []string{"offset.storage", "config.storage", "status.storage", "key.converter", "value.converter", "header.converter", "task", "worker", "replication.policy"}

func hasAnyPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// under returns the entries whose keys start with the prefix, without it.
func under(entries []entry, prefix string) settings {
	s := settings{}
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.key, prefix); ok {
			s[rest] = e
		}
	}
	return s
}

func (s settings) under(prefix string) settings {
	out := settings{}
	for k, e := range s {
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			out[rest] = e
		}
	}
	return out
}

func (s settings) overlay(over settings) {
	maps.Copy(s, over)
}

func (s settings) setAbsent(k string, e entry) {
	if _, ok := s[k]; !ok {
		s[k] = e
	}
}

// clusterSettings are ALIAS.*, with the keys that all clients share spread over the kinds of clients: ALIAS.producer.KEY
// over ALIAS.KEY over bare KEY.
func clusterSettings(entries []entry, alias string) settings {
	s := under(entries, alias+".")
	all := under(entries, "")
	for _, from := range []settings{s, all} {
		for _, k := range sharedKeys {
			e, ok := from[k]
			if !ok {
				continue
			}
			for _, kind := range clientKinds {
				s.setAbsent(kind+"."+k, e)
			}
			s.setAbsent(k, e)
		}
	}
	return s
}

// connectorSettings are what MM2 configures the connectors of a pair with.
func connectorSettings(entries []entry, f stream.Flow) settings {
	s := settings{}
	for k, e := range under(entries, "") {
		row, known := find(k, bare)
		_, old := renamed[k]
		carried := known && row.scopes&flow != 0 || old || isShared(k) && k != "bootstrap.servers"
		if carried || strings.HasPrefix(k, "config.providers") || strings.HasPrefix(k, "replication.policy") {
			s[k] = e
		}
	}
	s.overlay(sideSettings(clusterSettings(entries, f.Source), "source."))
	s.overlay(sideSettings(clusterSettings(entries, f.Target), "target."))
	s.overlay(under(entries, f.String()+"."))
	return s
}

// sideSettings puts the settings of a cluster under source. or target., those that are not for one kind of client
// under source.cluster. or target.cluster.
func sideSettings(cluster settings, side string) settings {
	out := settings{}
	for k, e := range cluster {
		if hasAnyPrefix(k, clientKinds) {
			out[side+k] = e
		} else {
			out[side+"cluster."+k] = e
		}
	}
	return out
}

// workerSettings are what MM2 configures the worker of a pair with; it lives on the target.
func workerSettings(entries []entry, f stream.Flow) settings {
	s := clusterSettings(entries, f.Target)
	for k, e := range under(entries, "") {
		if hasAnyPrefix(k, workerPrefixes) {
			s[k] = e
		}
	}
	return s
}

// notClientSettings start like settings of a client, but are keys of MM2.
var notClientSettings = []string{"consumer.poll.timeout.ms", "admin.timeout.ms"}

// client is the composition of the clients that connectors build for themselves.
func client(connector settings, side, kind string) settings {
	s := settings{}
	for k, e := range connector.under(side + ".cluster.") {
		if isShared(k) {
			s[k] = e
		}
	}
	for k, e := range connector {
		rest, ok := strings.CutPrefix(k, kind+".")
		if ok && !slices.Contains(notClientSettings, k) && !strings.HasPrefix(rest, "override.") {
			s[rest] = e
		}
	}
	s.overlay(connector.under(side + "." + kind + "."))
	return s
}

// dataProducer is the composition of the producer that writes the replicated records: that of the worker.
func dataProducer(worker, connector settings) settings {
	s := worker.under("producer.")
	s.overlay(connector.under("producer.override."))
	return s
}

func (s settings) properties() Properties {
	p := make(Properties, len(s))
	for k, e := range s {
		p[k] = e.value
	}
	return p
}
