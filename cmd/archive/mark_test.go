package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/kafka"
	"tandem/internal/stream"
	"tandem/internal/testkit/embedded"
)

// source is an embedded cluster with a topic of two partitions, and the archive of it.
func source(t *testing.T) (*shelf, *kafka.Admin, bundle.Topic) {
	t.Helper()
	c, err := embedded.Start("cluster-a", 2, "orders", "carts", "not-archived")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kafka.Parse(map[string]string{"bootstrap.servers": c.Bootstrap()})
	if err != nil {
		t.Fatal(err)
	}
	admin := kafka.NewAdmin(client)
	t.Cleanup(func() { admin.Close() })
	s := newShelf(t)
	s.configure("A.bootstrap.servers = "+c.Bootstrap(), "A->B.archive.topics = orders, carts")
	topics, err := admin.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	life := bundle.Topic{Name: "orders", ID: topics[slices.IndexFunc(topics, func(t stream.Topic) bool { return t.Name == "orders" })].ID}
	return s, admin, life
}

func TestMark(t *testing.T) {
	s, admin, life := source(t)
	must(t, 1, "knows no topic of A yet", "mark", s.file, "p")
	s.topic = life
	if err := admin.Append(t.Context(), "orders", make([]stream.Record, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CommitOffsets(t.Context(), "billing", map[stream.Partition]stream.Committed{
		{Topic: "orders"}: {Offset: 4}, {Topic: "not-archived"}: {Offset: 1},
	}); err != nil {
		t.Fatal(err)
	}
	s.bundle(time.Now().Add(-time.Hour), nil, bundle.TopicCreated{Topic: life, Partitions: 2, Factor: 1, Found: true})
	must(t, 2, "is no name for a point", "mark", s.file, " p")

	r := must(t, 1, "point before is written, and becomes restorable when the archive has come so far; 1 partition behind, as orders/",
		"mark", s.file, "before", "--note", "orders 3.7", "--timeout", "0s")
	var wrote marked
	if err := json.Unmarshal([]byte(command(t, "mark", s.file, "again", "--timeout", "0s", "--json").out), &wrote); err != nil {
		t.Fatal(err)
	}
	if wrote.Topics != 1 || wrote.Partitions != 2 || wrote.Groups != 1 || !slices.Equal(wrote.Unknown, []string{"carts"}) || len(wrote.Open) > 0 || wrote.Restorable {
		t.Errorf("%+v\n%s", wrote, r.out)
	}
	must(t, 1, "there is a point before already", "mark", s.file, "before")

	state := s.state(time.Time{})
	if len(state.Points) != 2 || state.Points[0].Name != "before" || state.Points[0].Note != "orders 3.7" || state.Points[0].Positions[0].Topic != life {
		t.Fatalf("%+v", state.Points)
	}
	var next stream.Upstream
	for _, p := range state.Points[0].Positions {
		next += p.Next
	}
	if g := state.Groups["billing"]; next != 10 || len(g) != 1 || g[stream.Partition{Topic: "orders"}].Offset != 4 {
		t.Errorf("%d records, groups %v", next, state.Groups)
	}
	for _, p := range state.Points[0].Positions {
		if p.Next > 0 {
			s.bundle(time.Now(), []int32{p.Partition})
		}
	}
	must(t, 0, "point third is restorable", "mark", s.file, "third", "--timeout", "0s")
}
