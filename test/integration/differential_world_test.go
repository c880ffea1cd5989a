package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// world is what a system has made of some clusters: facts by name. Names and values do not tell which system it was.
type world map[string]string

func (w world) fact(value, name string, args ...any) { w[fmt.Sprintf(name, args...)] = value }

// system is MM2 or Tandem beside the other one, on the same brokers. Its aliases, and the topics that are its own, begin with two
// letters of its own, so that names are of equal length and bytes can be compared.
type system struct {
	letters string
	words   *regexp.Regexp  // what belongs to it
	sides   map[string]side // by the name of the cluster
}

// ours are the words that follow the letters.
const ours = `(east|west|zero|once|late|till|srcd|tgtd|same|copy|comm|cpto|host|-diff)`

func (s system) pattern() *regexp.Regexp {
	if s.words != nil {
		return s.words
	}
	return regexp.MustCompile(s.letters + ours)
}

// plain replaces the letters.
func (s system) plain(text string) string {
	if s.letters == "" {
		return text
	}
	return s.pattern().ReplaceAllString(text, "@@$1")
}

// look reads all that belongs to the system. Partitions of internal topics are read to the end.
func (s system) look(t *testing.T) world {
	t.Helper()
	w := world{}
	for cluster, side := range s.sides {
		for _, name := range side.topicsWith(s.letters) {
			if s.pattern().MatchString(name) && !strings.HasPrefix(name, "__") {
				s.lookAtTopic(t, w, cluster, side, name)
			}
		}
		s.lookAtHeartbeats(t, w, cluster, side)
		s.lookAtGroups(t, w, cluster, side)
	}
	return w
}

func (s system) lookAtTopic(t *testing.T, w world, cluster string, side side, name string) {
	t.Helper()
	plain := cluster + " " + s.plain(name)
	described, err := side.describe(name)
	if err != nil {
		t.Fatal(err)
	}
	configs, err := side.configs(name)
	if err != nil {
		t.Fatal(err)
	}
	w.fact(fmt.Sprint(len(described.Topics[0].Partitions)), "topic %s: partitions", plain)
	w.fact(fmt.Sprint(len(described.Topics[0].Partitions[0].Replicas)), "topic %s: replicas", plain)
	for key, value := range configs {
		w.fact(value, "topic %s: config %s", plain, key)
	}
	switch {
	case regexp.MustCompile(`mm2.(configs|status|tandem)`).MatchString(name): // their records are for their system
	case strings.Contains(name, "offset-syncs"):
		s.lookAtSyncs(t, w, plain, side.read(name))
	case strings.Contains(name, "checkpoints"):
		s.lookAtCheckpoints(t, w, plain, side.read(name))
	case strings.Contains(name, "mm2-offsets"):
		s.lookAtPositions(t, w, plain, side.read(name))
	case strings.HasSuffix(name, "heartbeats"): // of all that ever ran on these brokers, at different times
	default:
		for p, records := range side.read(name) {
			if strings.HasSuffix(name, "diff-late-news") { // the rest came when the system found the end
				records = records[max(0, len(records)-newsForAll):]
				w.fact(names(records), "topic %s: keys of the last records of partition %d", plain, p)
				continue
			}
			w.fact(digest(records), "topic %s: records of partition %d", plain, p)
			w.fact(codecs(records), "topic %s: codecs of partition %d", plain, p)
		}
	}
}

// digest tells lists of records apart by all that a replica keeps.
func digest(records []*kgo.Record) string {
	h := sha256.New()
	for _, r := range records {
		fmt.Fprintf(h, "%d %q %t %q %t %d %q\n", r.Offset, r.Key, r.Key == nil, r.Value, r.Value == nil, r.Timestamp.UnixMilli(), fmt.Sprint(r.Headers))
	}
	return fmt.Sprintf("%d records, %s", len(records), hex.EncodeToString(h.Sum(nil)[:6]))
}

// newsForAll are written when both systems copy.
const newsForAll = 20

func names(records []*kgo.Record) string {
	var all []string
	for _, r := range records {
		all = append(all, string(r.Key))
	}
	return strings.Join(all, " ")
}

// codecs are those of the batches.
func codecs(records []*kgo.Record) string {
	var all []string
	for _, r := range records {
		if c := []string{"none", "gzip", "snappy", "lz4", "zstd"}[r.Attrs.CompressionType()]; !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// growing: heartbeats come every second, and how many there are is nobody's fact.
func growing(name, value string) string {
	if strings.Contains(name, "heartbeats") {
		return "some"
	}
	return value
}

// lookAtSyncs keeps the bytes of the last sync of each partition: those before it depend on when what was acknowledged.
func (s system) lookAtSyncs(t *testing.T, w world, topic string, records [][]*kgo.Record) {
	t.Helper()
	for _, r := range records[0] {
		if r.Key == nil || r.Value == nil || len(r.Headers) > 0 {
			t.Errorf("%s, offset %d: MM2 writes no such record: %v", topic, r.Offset, r)
		}
		w.fact(growing(string(r.Key), hex.EncodeToString(r.Value)), "topic %s: sync %q", topic, s.plain(string(r.Key)))
	}
}

// lookAtCheckpoints keeps the last one of each group and partition. Places on the target are facts of their own, as the
// systems need not agree on them.
func (s system) lookAtCheckpoints(t *testing.T, w world, topic string, records [][]*kgo.Record) {
	t.Helper()
	for _, r := range records[0] {
		if len(r.Headers) > 0 || len(r.Value) < 20 || r.Value[0] != 0 || r.Value[1] != 0 {
			t.Errorf("%s, offset %d: MM2 writes no such record: %v", topic, r.Offset, r)
		}
		c := checkpointOf(t, r)
		name := fmt.Sprintf("topic %s: checkpoint of %s for %s", topic, c.Group, s.plain(c.Remote.String()))
		w.fact(fmt.Sprintf("upstream %d, metadata %q", c.Up, c.Metadata), "%s", name)
		w.fact(fmt.Sprint(c.Down), "%s: place", name)
	}
}

// lookAtPositions keeps the last position of each key, and where in the topic it is.
func (s system) lookAtPositions(t *testing.T, w world, topic string, records [][]*kgo.Record) {
	t.Helper()
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for p, list := range records {
		for _, r := range list {
			if want := partitioner.Partition(r, len(records)); want != p {
				t.Errorf("%s: %s is in partition %d, where Connect does not look: %d", topic, r.Key, p, want)
			}
			w.fact(growing(string(r.Key), string(r.Value)), "topic %s: position %s", topic, s.plain(string(r.Key)))
		}
	}
}

// lookAtHeartbeats looks at the one topic that all have in common.
func (s system) lookAtHeartbeats(t *testing.T, w world, cluster string, side side) {
	t.Helper()
	if len(side.topicsWith("heartbeats")) == 0 {
		return
	}
	for _, r := range side.read("heartbeats")[0] {
		if !s.pattern().Match(r.Key) {
			continue
		}
		value := fmt.Sprintf("version %x, %d bytes, of its own time: %t, headers %d", r.Value[:2], len(r.Value),
			fmt.Sprintf("%016x", r.Timestamp.UnixMilli()) == hex.EncodeToString(r.Value[2:]), len(r.Headers))
		w.fact(value, "heartbeat on %s %q", cluster, s.plain(string(r.Key)))
	}
}

// lookAtGroups keeps what groups have committed for remote topics, and the groups of the systems themselves.
func (s system) lookAtGroups(t *testing.T, w world, cluster string, side side) {
	t.Helper()
	response, err := kmsg.NewPtrListGroupsRequest().RequestWith(t.Context(), side.client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range response.Groups {
		if s.pattern().MatchString(g.Group) {
			w.fact(fmt.Sprintf("protocol type %s, %s", g.ProtocolType, g.GroupState), "group %s of %s", s.plain(g.Group), cluster)
		}
		if !strings.HasPrefix(g.Group, "diff-") {
			continue
		}
		for p, offset := range side.committed(g.Group) {
			if s.pattern().MatchString(p.Topic) {
				w.fact(fmt.Sprint(offset), "group %s of %s on %s: place", g.Group, cluster, s.plain(p.String()))
			}
		}
	}
}

// differences lists what two worlds do not have in common.
func differences(mm2, tandem world) (list []string) {
	for name, value := range mm2 {
		if other, ok := tandem[name]; !ok {
			list = append(list, fmt.Sprintf("%s: only with MM2 (%s)", name, value))
		} else if value != other {
			list = append(list, fmt.Sprintf("%s: %s with MM2, %s with Tandem", name, value, other))
		}
	}
	for name, value := range tandem {
		if _, ok := mm2[name]; !ok {
			list = append(list, fmt.Sprintf("%s: only with Tandem (%s)", name, value))
		}
	}
	slices.Sort(list)
	return list
}
