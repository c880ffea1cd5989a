package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tandem/internal/stream"
)

// fakeAuthorizer is a cluster's authorizer in memory.
type fakeAuthorizer struct {
	off      bool // no authorizer
	bindings map[stream.ACL]bool
	refused  map[string]error // by principal
	shown    int              // how often the bindings were asked for
}

func (c *fakeCluster) allow(words ...string) {
	for _, w := range words {
		c.auth.bindings[acl(w)] = true
	}
}

func (c *fakeCluster) drop(words ...string) {
	for _, w := range words {
		delete(c.auth.bindings, acl(w))
	}
}

func (c *fakeCluster) ACLs(context.Context) ([]stream.ACL, bool, error) {
	c.auth.shown++
	if err := c.request("ACLs"); err != nil || c.auth.off {
		return nil, false, err
	}
	return slices.SortedFunc(maps.Keys(c.auth.bindings), stream.ACL.Compare), true, nil
}

func (c *fakeCluster) AddACLs(_ context.Context, bindings []stream.ACL) (map[stream.ACL]error, error) {
	return c.changeACLs("AddACLs", "+", bindings, func(b stream.ACL) { c.auth.bindings[b] = true })
}

func (c *fakeCluster) DeleteACLs(_ context.Context, bindings []stream.ACL) (map[stream.ACL]error, error) {
	return c.changeACLs("DeleteACLs", "-", bindings, func(b stream.ACL) { delete(c.auth.bindings, b) })
}

func (c *fakeCluster) changeACLs(request, sign string, bindings []stream.ACL, do func(stream.ACL)) (map[stream.ACL]error, error) {
	if err := c.request(request); err != nil {
		return nil, err
	}
	answers := map[stream.ACL]error{}
	for i, b := range bindings {
		if c.cut > 0 && i == c.cut {
			return answers, errors.New("connection lost")
		}
		if answers[b] = c.auth.refused[b.Principal]; answers[b] == nil {
			do(b)
			c.log = append(c.log, sign+short(b))
		}
	}
	return answers, nil
}

// Bindings are written short in tests: "alice +READ topic orders", "bob -ALL group g-*"; a * at the end of a longer name is a prefix.
var (
	shortResources  = map[string]int8{"topic": 2, "group": 3, "cluster": 4, "txn": 5, "token": 6}
	shortOperations = map[string]int8{"ALL": 2, "READ": 3, "WRITE": 4, "CREATE": 5, "DELETE": 6, "ALTER": 7, "DESCRIBE": 8}
)

func acl(words string) stream.ACL {
	f := strings.Fields(words)
	b := stream.ACL{PatternType: stream.PatternLiteral, Principal: "User:" + f[0], Host: "*", Permission: stream.PermissionAllow,
		Operation: shortOperations[f[1][1:]], ResourceType: shortResources[f[2]], Resource: f[3]}
	if f[1][0] == '-' {
		b.Permission = stream.PermissionDeny
	}
	if prefix, ok := strings.CutSuffix(f[3], "*"); ok && prefix != "" && !strings.HasSuffix(prefix, ".=") {
		b.Resource, b.PatternType = prefix, stream.PatternPrefixed
	}
	b.Resource = strings.Replace(b.Resource, "=*", "*", 1) // "A.=*" is the literal name A.*
	return b
}

func short(b stream.ACL) string {
	named := func(words map[string]int8, n int8) string {
		for w, v := range words {
			if v == n {
				return w
			}
		}
		return "?"
	}
	sign, name := "+", b.Resource
	if b.Permission == stream.PermissionDeny {
		sign = "-"
	}
	switch {
	case b.PatternType == stream.PatternPrefixed:
		name += "*"
	case len(name) > 1:
		name = strings.Replace(name, "*", "=*", 1)
	}
	return fmt.Sprintf("%s %s%s %s %s", strings.TrimPrefix(b.Principal, "User:"), sign, named(shortOperations, b.Operation),
		named(shortResources, b.ResourceType), name)
}

func acls(words ...string) (list []stream.ACL) {
	for _, w := range words {
		list = append(list, acl(w))
	}
	return list
}

func shorts(list []stream.ACL) (words []string) {
	for _, b := range list {
		words = append(words, short(b))
	}
	return words
}

// held are the bindings of a cluster, in words.
func (c *fakeCluster) held() []string {
	words := shorts(slices.Collect(maps.Keys(c.auth.bindings)))
	slices.Sort(words)
	return words
}

// fakeLog is Tandem's topic of a cluster.
type fakeLog struct {
	records []stream.Record
	denied  error // of reading
	down    error // of writing
}

func (l *fakeLog) ReadAll(_ context.Context, _ string, _ bool, each func(stream.Record) error) error {
	if l.denied != nil {
		return l.denied
	}
	for _, r := range l.records {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func (l *fakeLog) Append(_ context.Context, _ string, records []stream.Record) error {
	if l.down != nil {
		return l.down
	}
	for _, r := range records {
		r.Offset = int64(len(l.records))
		l.records = append(l.records, r)
	}
	return nil
}

func (l *fakeLog) noted(t *testing.T) []string {
	t.Helper()
	list, err := NewNotes(l, "notes").Noted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return shorts(list)
}

// full gives a world mode full, with groups that begin with g, and the log of its notes.
func full(t *testing.T) (*world, *fakeLog) {
	t.Helper()
	log := &fakeLog{}
	r := rules()
	r.ACLs = ACLRules{Full: true, Notes: NewNotes(log, "notes"), Own: []string{"User:tandem"},
		Groups: func(g string) bool { return strings.HasPrefix(g, "g") || g == stream.AnyResource }}
	return newWorld(t, r), log
}

// asMM2 gives a world mode mm2.
func asMM2(t *testing.T) *world {
	t.Helper()
	return newWorld(t, rules())
}

func (w *world) syncACLs() {
	w.t.Helper()
	if err := w.keeper.SyncACLs(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}
