package position

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"tandem/internal/stream"
)

type captured struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp int64
	Key       string
	Value     string
}

func (c captured) record() stream.Record {
	return stream.Record{Partition: c.Partition, Offset: c.Offset, Key: []byte(c.Key), Value: []byte(c.Value),
		Timestamp: time.UnixMilli(c.Timestamp)}
}

// capturedRecords reads what the Connect workers of an MM2 4.3.1 wrote into topics of 25 partitions.
func capturedRecords(t testing.TB) []captured {
	t.Helper()
	f, err := os.Open("testdata/mm2-4.3.1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []captured
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c captured
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if len(all) != 37 {
		t.Fatalf("%d captured records, want 37", len(all))
	}
	return all
}

func TestCapturedPositionsKeepTheirBytes(t *testing.T) {
	ours := 0
	for _, c := range capturedRecords(t) {
		if got := partitionOf([]byte(c.Key), 25); got != c.Partition {
			t.Errorf("%s belongs to partition %d, got %d", c.Key, c.Partition, got)
		}
		cluster, p, ok := decodeKey([]byte(c.Key))
		if !ok {
			continue
		}
		ours++
		last, err := decodeValue([]byte(c.Value))
		check(t, err)
		if key, value := string(encodeKey(cluster, p)), string(encodeValue(last)); key != c.Key || value != c.Value {
			t.Errorf("%s %s became %s %s", c.Key, c.Value, key, value)
		}
	}
	if ours != 16 {
		t.Errorf("%d of the captured records are positions of the source connector, want 16", ours)
	}
}

// The bytes come from Connect 4.3.1's JsonConverter with Jackson 2.21.2, fed a HashMap of cluster, partition 3 and topic
// orders; the hashes from kafka-clients' Utils.murmur2 of them.
func TestBytesOfConnect(t *testing.T) {
	const before, after = `["MirrorSourceConnector",{"cluster":"`, `","partition":3,"topic":"orders"}]`
	for _, c := range []struct {
		cluster string
		escaped string // in hex
		hash    int32
	}{
		{"orders", "6f7264657273", 507377845},
		{"a\"b\\c/\b\t\n\f\r\x01\x1f\x7f", "615c22625c5c632f5c625c745c6e5c665c725c75303030315c75303031467f", 38671201},
		{"é<>&\u2028'", "c3a93c3e26e280a827", 350576172},
		{"\U0001F600x", "5c75443833445c754445303078", -159305928},
		{"\x00", "5c7530303030", -849281851},
		{"\uFFFD\uFF0C", "efbfbdefbc8c", 1719485010},
	} {
		escaped, err := hex.DecodeString(c.escaped)
		check(t, err)
		want := before + string(escaped) + after
		got := encodeKey(c.cluster, stream.Partition{Topic: "orders", Number: 3})
		if string(got) != want {
			t.Errorf("%q: key %s, want %s", c.cluster, got, want)
		}
		if h := int32(murmur2(got)); h != c.hash {
			t.Errorf("%q: hash %d, want %d", c.cluster, h, c.hash)
		}
		if cluster, p, ok := decodeKey(got); !ok || cluster != c.cluster || p.Topic != "orders" || p.Number != 3 {
			t.Errorf("%q: read back as %q %s %v", c.cluster, cluster, p, ok)
		}
	}
}

// The hashes are those by which Kafka's own tests pin the function, for every length of the tail.
func TestMurmur2(t *testing.T) {
	for _, c := range []struct {
		text string
		hash int32
	}{
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	} {
		if got := int32(murmur2([]byte(c.text))); got != c.hash {
			t.Errorf("murmur2(%q) = %d, want %d", c.text, got, c.hash)
		}
	}
}

func TestDecodeKey(t *testing.T) {
	orders := stream.Partition{Topic: "orders", Number: 3}
	for _, c := range []struct {
		story   string
		key     string
		cluster string
		p       stream.Partition
		foreign bool
	}{
		{story: "as Connect writes it", key: `["MirrorSourceConnector",{"cluster":"A","partition":3,"topic":"orders"}]`, cluster: "A", p: orders},
		{story: "written by hand, in another order", key: `[ "MirrorSourceConnector", {"topic":"orders", "partition":3, "cluster":"\u0041"} ]`, cluster: "A", p: orders},
		{story: "of the checkpoint connector", key: `["MirrorCheckpointConnector",{"partition":3,"topic":"A.orders","group":"g1"}]`, foreign: true},
		{story: "of a connector with a name of its own", key: `["my-mirror",{"cluster":"A","partition":3,"topic":"orders"}]`, foreign: true},
		{story: "members in other letters are other members", key: `["MirrorSourceConnector",{"Cluster":"A","partition":3,"topic":"orders"}]`, foreign: true},
		{story: "a partition that is no number", key: `["MirrorSourceConnector",{"cluster":"A","partition":"3","topic":"orders"}]`, foreign: true},
		{story: "a partition below 0", key: `["MirrorSourceConnector",{"cluster":"A","partition":-1,"topic":"orders"}]`, foreign: true},
		{story: "a partition beyond INT32", key: `["MirrorSourceConnector",{"cluster":"A","partition":2147483648,"topic":"orders"}]`, foreign: true},
		{story: "half a partition", key: `["MirrorSourceConnector",{"cluster":"A","partition":1.5,"topic":"orders"}]`, foreign: true},
		{story: "no topic", key: `["MirrorSourceConnector",{"cluster":"A","partition":3}]`, foreign: true},
		{story: "no partition object", key: `["MirrorSourceConnector"]`, foreign: true},
		{story: "null for it", key: `["MirrorSourceConnector",null]`, foreign: true},
		{story: "not JSON", key: "connector-x", foreign: true},
		{story: "no key at all", key: "", foreign: true},
	} {
		t.Run(c.story, func(t *testing.T) {
			cluster, p, ok := decodeKey([]byte(c.key))
			if ok == c.foreign || cluster != c.cluster || p != c.p {
				t.Errorf("got %q %s %v", cluster, p, ok)
			}
		})
	}
}

func TestDecodeValue(t *testing.T) {
	for _, c := range []struct {
		story string
		value string
		last  stream.Upstream
		bad   bool
	}{
		{story: "as Connect writes it", value: `{"offset":12345}`, last: 12345},
		{story: "the first record", value: `{"offset":0}`, last: 0},
		{story: "the largest offset, exactly", value: `{"offset":9223372036854775807}`, last: 9223372036854775807},
		{story: "with white space and company", value: ` { "x":[1], "offset" : 7 } `, last: 7},
		{story: "negative: never committed", value: `{"offset":-5}`, last: none},
		{story: "null offset: never committed", value: `{"offset":null}`, last: none},
		{story: "no offset: never committed", value: `{}`, last: none},
		{story: "JSON null: never committed", value: `null`, last: none},
		{story: "an offset in quotes", value: `{"offset":"7"}`, bad: true},
		{story: "a fraction", value: `{"offset":7.5}`, bad: true},
		{story: "too large", value: `{"offset":9223372036854775808}`, bad: true},
		{story: "a bare number", value: `7`, bad: true},
		{story: "cut off", value: `{"offset":7`, bad: true},
		{story: "empty", value: ``, bad: true},
	} {
		t.Run(c.story, func(t *testing.T) {
			last, err := decodeValue([]byte(c.value))
			if (err != nil) != c.bad || err == nil && last != c.last {
				t.Errorf("got %d, %v", last, err)
			}
		})
	}
	if last, err := decodeValue(nil); last != none || err != nil {
		t.Errorf("a tombstone gives %d, %v", last, err)
	}
}

func FuzzPosition(f *testing.F) {
	for _, c := range capturedRecords(f)[:6] {
		f.Add([]byte(c.Key), []byte(c.Value))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if cluster, p, ok := decodeKey(key); ok {
			again := encodeKey(cluster, p)
			if c, q, ok := decodeKey(again); !ok || c != cluster || q != p {
				t.Errorf("%s became %s", key, again)
			}
			if !json.Valid(again) {
				t.Errorf("%s is not JSON", again)
			}
		}
		if last, err := decodeValue(value); err == nil && last != none {
			if again, err := decodeValue(encodeValue(last)); err != nil || again != last {
				t.Errorf("%s: %d became %d, %v", value, last, again, err)
			}
		}
	})
}
