package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/archive/keys"
	"tandem/internal/config"
)

// TestEveryArchiveSettingCounts: each key of the archive, set in the file, is seen where it must have its effect: in what the archiver
// is made with, in what is archived, or in the request that the store gets. A key that is disconnected anywhere between fails here.
func TestEveryArchiveSettingCounts(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	var mu sync.Mutex
	var put http.Header
	var path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		put, path = r.Header.Clone(), r.URL.Path
		w.Header().Set("ETag", `"e"`)
	}))
	defer server.Close()
	key := filepath.Join(t.TempDir(), "key")
	if _, err := keys.New(key); err != nil {
		t.Fatal(err)
	}

	// seen is what becomes of a file, as one text for each place.
	seen := func(t *testing.T, lines string) map[string]string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "mm2.properties")
		text := "clusters = A, B\nA.bootstrap.servers = a:9092\nB.bootstrap.servers = b:9092\nA->B.enabled = true\nA->B.topics = orders\n" + lines
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		conf, err := config.Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := conf.Flows[0]
		out := map[string]string{"enabled": fmt.Sprint(f.Archive.Enabled), "retention": f.Archive.Retention.String()}
		for _, topic := range []string{"orders", "carts", "tmp"} {
			out["keeps "+topic] = fmt.Sprint(f.Archive.Keeps(topic))
		}
		if !f.Archive.Enabled {
			return out
		}
		with := &flow{}
		with.settings.Store(&f)
		a, err := with.openArchive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer a.close()
		c := a.config("id")
		out["from now"], out["pause"] = fmt.Sprint(c.FromNow), fmt.Sprint(c.Pause)
		out["interval"], out["bytes"], out["memory"] = c.FlushInterval.String(), fmt.Sprint(c.FlushBytes), fmt.Sprint(c.Memory)
		out["compression"], out["encrypted"] = fmt.Sprint(c.Compression == bundle.Zstd), fmt.Sprint(c.Keeper != nil)
		if err := a.store.Put(t.Context(), "object", strings.NewReader("content")); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		out["path"] = path
		for name, header := range map[string]string{
			"sse": "X-Amz-Server-Side-Encryption", "kms": "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "class": "X-Amz-Storage-Class",
			"lock": "X-Amz-Object-Lock-Mode", "until": "X-Amz-Object-Lock-Retain-Until-Date",
		} {
			out[name] = put.Get(header)
		}
		out["until"], _, _ = strings.Cut(out["until"], "T") // the day
		return out
	}

	url := func(prefix string) string {
		return "archive.url = s3://bucket/" + prefix + "?region=r&endpoint=" + server.URL + "\n"
	}
	on := "archive.enabled = true\n" + url("p")
	day := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }
	rows := []struct{ key, before, lines, place, want string }{
		{"archive.enabled", "", on, "enabled", "true"},
		{"archive.url", on, "archive.enabled = true\n" + url("q"), "path", "/bucket/q/object"},
		{"archive.topics", on, on + "archive.topics = carts\n", "keeps carts", "true"},
		{"archive.topics.exclude", on, on + "archive.topics.exclude = orders\n", "keeps orders", "false"},
		{"archive.from", on, on + "archive.from = now\n", "from now", "true"},
		{"archive.flush.interval.ms", on, on + "archive.flush.interval.ms = 2500\n", "interval", "2.5s"},
		{"archive.flush.bytes", on, on + "archive.flush.bytes = 1000000\n", "bytes", "1000000"},
		{"archive.memory.bytes", on, on + "archive.memory.bytes = 5000000\n", "memory", "5000000"},
		{"archive.compression", on, on + "archive.compression = none\n", "compression", "false"},
		{"archive.on.failure", on, on + "archive.on.failure = pause\n", "pause", "true"},
		{"archive.retention.ms", on, on + "archive.retention.ms = 86400000\n", "retention", "24h0m0s"},
		{"archive.encryption.key.url", on, on + "archive.encryption.key.url = file://" + key + "\n", "encrypted", "true"},
		{"archive.s3.sse", on, on + "archive.s3.sse = AES256\n", "sse", "AES256"},
		{"archive.s3.sse.kms.key.id", on + "archive.s3.sse = aws:kms\n", on + "archive.s3.sse = aws:kms\narchive.s3.sse.kms.key.id = k1\n", "kms", "k1"},
		{"archive.s3.storage.class", on, on + "archive.s3.storage.class = STANDARD_IA\n", "class", "STANDARD_IA"},
		{"archive.s3.object.lock.mode", on, on + "archive.s3.object.lock.mode = GOVERNANCE\narchive.s3.object.lock.days = 3\n", "lock", "GOVERNANCE"},
		{"archive.s3.object.lock.days", on, on + "archive.s3.object.lock.mode = GOVERNANCE\narchive.s3.object.lock.days = 3\n", "until", day(3)},
	}
	rowOf := make(map[string]bool)
	for _, r := range rows {
		rowOf[r.key] = true
		t.Run(r.key, func(t *testing.T) {
			if before := seen(t, r.before)[r.place]; before == r.want {
				t.Errorf("%s is %s without it", r.place, before)
			}
			got := seen(t, r.lines)[r.place]
			if got != r.want && !(r.place == "until" && got == day(4)) { // midnight
				t.Errorf("%s is %s, not %s", r.place, got, r.want)
			}
		})
	}
	page, err := os.ReadFile("../../docs/config.md") // it is made from the table of settings
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile("(?m)^\\| `(archive\\.[a-z0-9.]+)`").FindAllSubmatch(page, -1)
	for _, m := range all {
		if !rowOf[string(m[1])] {
			t.Errorf("no test shows that %s has an effect", m[1])
		}
	}
	if len(all) != len(rows) {
		t.Errorf("%d settings in docs/config.md, %d here", len(all), len(rows))
	}
}
