package failover

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"tandem/internal/stream"
)

func TestTampered(t *testing.T) {
	w := newWorld().group("billing", "orders/0", 40)
	w.Divergence = []Divergence{{Topic: "orders", From: 3, To: 5, Records: 2, First: noon, Last: noon}}
	p := w.plan(t.Context())
	data := p.Encode()
	got, err := Decode(data)
	if err != nil || !bytes.Equal(got.Encode(), data) {
		t.Fatalf("decode: %v\n%s", err, got.Encode())
	}
	for old, now := range map[string]string{
		`"new":40`:             `"new":90`,
		`"old":null`:           `"old":1`,
		`"mode": "controlled"`: `"mode": "disaster"`,
		`"group":"billing"`:    `"group":"payroll"`,
		`"class":"exact"`:      `"class":"exact","forced":true`,
	} {
		changed := strings.Replace(string(data), old, now, 1)
		if changed == string(data) {
			t.Fatalf("%s is not in the plan", old)
		}
		if _, err := Decode([]byte(changed)); !errors.Is(err, ErrChanged) {
			t.Errorf("%s for %s: %v", now, old, err)
		}
	}
	if _, err := Decode(bytes.Replace(data, []byte(`"version": 1`), []byte(`"version": 2`), 1)); !errors.Is(err, errNewer) {
		t.Errorf("a newer version: %v", err)
	}
	for _, text := range []string{"", "{}", "[]", "null", string(data[:len(data)/2])} {
		if _, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q is a plan", text)
		}
	}
}

func TestRecordOfManyPositions(t *testing.T) {
	r := Record{Version: recordVersion, Plan: "p", Kind: Over, Mode: Disaster, From: "A", To: "B", State: Applying, Created: noon, At: noon}
	for n := range int32(3000) {
		r.Boundaries = append(r.Boundaries, Boundary{"orders", n, "A.orders", 5, 4, 3})
	}
	old := int64(7)
	for i := range 20 {
		g := RecordGroup{Group: fmt.Sprint("group-", i)}
		for n := range int32(3000) {
			g.Positions = append(g.Positions, RecordPosition{"A.orders", n, &old, strings.Repeat("m", i%3*2000), 8})
		}
		r.Groups = append(r.Groups, g)
	}
	all, whole := Records{}, Records{Whole: "p"}
	for _, x := range r.encode() {
		if len(x.Value) > 2*partBytes {
			t.Errorf("a record of %d bytes", len(x.Value))
		}
		if err := errors.Join(all.Load(x), whole.Load(x)); err != nil {
			t.Fatal(err)
		}
	}
	if got := whole.Find("p"); got == nil || !reflect.DeepEqual(*got, r) {
		t.Fatal("what was read with its positions is not what was written")
	}
	for i := range r.Groups {
		r.Groups[i].Positions = nil
	}
	if got := all.Find("p"); got == nil || !reflect.DeepEqual(*got, r) {
		t.Fatal("what was read is not what was written")
	}
	if err := all.Load(stream.Record{Key: []byte{1, stream.KindAnchor, 0, 1, 'x'}, Value: []byte{9}}); err != nil {
		t.Errorf("another kind: %v", err)
	}
	if err := all.Load(stream.Record{Key: recordKey("p", 0)}); err != nil || all.Find("p") != nil {
		t.Errorf("a tombstone: %v", err)
	}
	if err := all.Load(stream.Record{Key: recordKey("q", 0), Value: []byte(`{"version":2,"plan":"q"}`)}); !errors.Is(err, errNewer) {
		t.Errorf("a newer version: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(newWorld().group("billing", "orders/0", 40).plan(f.Context()).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			return
		}
		if again, err := Decode(p.Encode()); err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("decoded and encoded: %v", err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	r := newRecord(newWorld().group("billing", "orders/0", 40).plan(f.Context()), noon, "ann@desk")
	for _, x := range r.encode() {
		f.Add(x.Key, x.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var all Records
		if all.Load(stream.Record{Key: key, Value: value}) == nil {
			for _, r := range all.All() {
				r.encode()
			}
		}
	})
}
