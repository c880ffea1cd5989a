package config

import (
	"slices"
	"strings"
)

// unknown warns of a key with a prefix that is known.
func (c checker) unknown(e entry, prefix, rest string, in scope) {
	var candidates []string
	for _, k := range table {
		if k.scopes&in != 0 && !k.internal {
			candidates = append(candidates, k.name)
		}
	}
	if in == cluster {
		candidates = append(candidates, sharedKeys...)
	}
	c.warnUnknown(e, "unknown key", prefix, nearest(rest, slices.Concat(candidates, clientCandidates())))
}

// unknownBare warns of a key without a prefix, or with one that may be a cluster misspelt.
func (c checker) unknownBare(e entry) {
	if alias, rest, ok := c.foreignCluster(e.key); ok {
		w := Warning{Line: e.line, Key: shown(e.key), Message: "there is no cluster " + alias + "; clusters lists " + strings.Join(c.order, ", ")}
		if a := nearest(alias, c.order); a != "" {
			w.Nearest = a + "." + rest
		}
		c.warn(w)
		return
	}
	var candidates []string
	for _, k := range table {
		if k.scopes&(bare|process) != 0 && !k.internal {
			candidates = append(candidates, k.name)
		}
	}
	c.warnUnknown(e, "unknown key", "", nearest(e.key, slices.Concat(candidates, sharedKeys, clientCandidates())))
}

// foreignCluster takes ALIAS.KEY apart where KEY is a key of clusters and ALIAS is none of them.
func (c checker) foreignCluster(full string) (alias, rest string, ok bool) {
	for i := range full {
		if full[i] != '.' {
			continue
		}
		alias, rest = full[:i], full[i+1:]
		_, kind, name := clientPart(rest)
		if isShared(rest) || kind != "" && knownClientKey(kind, name) {
			return alias, rest, true
		}
	}
	return "", "", false
}

func clientCandidates() []string {
	var all []string
	for _, kind := range clientKinds {
		for _, k := range slices.Concat(clientKeys[kind], anyClientKeys) {
			all = append(all, kind+"."+k)
		}
	}
	return all
}

// warnUnknown leaves the key out where it may be a piece of a secret: a line torn from the value above it.
func (c checker) warnUnknown(e entry, message, prefix, near string) {
	w := Warning{Line: e.line, Key: shown(e.key), Message: message}
	if near != "" {
		w.Key, w.Nearest = e.key, prefix+near
	}
	if w.Key == "" {
		w.Message = `the line does not start with a known key; if it belongs to the value above, end that line with \`
	}
	c.warn(w)
}

// nearest is the candidate with the fewest letters changed, if they are few for the length of the word.
func nearest(word string, candidates []string) string {
	best, least := "", len(word)/4+2
	if len(word) < 5 {
		least = 2
	}
	for _, c := range candidates {
		if d := distance(word, c, least); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour; at least limit where that is
// sure not to be undercut.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
