package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const archiveOn = "archive.enabled = true\narchive.url = file:///a\n"

func TestArchiveSettingsThatAreWrong(t *testing.T) {
	const needsURL = "needs archive.url, as in: archive.url = file:///var/lib/tandem or s3://bucket/prefix?region=eu-central-1"
	const noURL = "must be a URL of s3://, file://, gs:// or azblob://"
	const each = "6: A->B: archive.s3.object.lock.mode and archive.s3.object.lock.days need each other"
	for _, c := range []struct{ text, want string }{
		{"archive.enabled = yes", `5: archive.enabled = "yes": must be true or false`},
		{"archive.enabled = true", "5: archive.enabled: " + needsURL},
		{"A->B.archive.enabled = true", "5: A->B.archive.enabled: " + needsURL},
		{"archive.enabled = true\narchive.url = ftp://u:secret@h/x", `6: archive.url = "ftp://[hidden]@h/x": ` + noURL},
		{"archive.enabled = true\narchive.url = s3://%zz", `6: archive.url = "s3://%zz": ` + noURL},
		{"archive.enabled = true\narchive.url = /var/lib", `6: archive.url = "/var/lib": ` + noURL},
		{archiveOn + "archive.from = latest", `7: archive.from = "latest": must be earliest or now`},
		{archiveOn + "archive.flush.interval.ms = 99", `7: archive.flush.interval.ms = "99": must be a whole number, 100 or more`},
		{archiveOn + "archive.flush.bytes = 1", `7: archive.flush.bytes = "1": must be a whole number, 65536 or more`},
		{archiveOn + "archive.memory.bytes = 1000", `7: archive.memory.bytes = "1000": must be a whole number, 1048576 or more`},
		{archiveOn + "archive.compression = gzip", `7: archive.compression = "gzip": must be zstd or none`},
		{archiveOn + "archive.on.failure = stop", `7: archive.on.failure = "stop": must be detach or pause`},
		{archiveOn + "archive.retention.ms = -2", `7: archive.retention.ms = "-2": must be a whole number, -1 or more`},
		{archiveOn + "archive.topics = a(", `7: archive.topics = "a(": must be a list of Java regular expressions: compile regular expression "a(": unclosed group (near character 2)`},
		{archiveOn + "archive.topics.exclude = a(", `7: archive.topics.exclude = "a(": must be a list of Java regular expressions: compile regular expression "a(": unclosed group (near character 2)`},
		{archiveOn + "archive.s3.sse = yes", `7: archive.s3.sse = "yes": must be AES256, aws:kms or aws:kms:dsse`},
		{archiveOn + "archive.s3.object.lock.mode = STRICT", `7: archive.s3.object.lock.mode = "STRICT": must be GOVERNANCE or COMPLIANCE`},
		{archiveOn + "archive.s3.object.lock.mode = COMPLIANCE", each},
		{archiveOn + "archive.s3.object.lock.days = 3", each},
		{archiveOn + "archive.s3.object.lock.days = -1", `7: archive.s3.object.lock.days = "-1": must be a number from 0 to 2147483647`},
	} {
		errs, _ := problemsOf(base + c.text)
		if want := "mm2.properties:" + c.want; len(errs) != 1 || !strings.HasSuffix(errs[0], want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.text, errs, want)
		}
	}
}

func TestArchiveWarnings(t *testing.T) {
	const lock = archiveOn + "archive.s3.object.lock.mode = COMPLIANCE\narchive.retention.ms = 86400000\n"
	for _, c := range []struct{ text, want string }{
		{archiveOn, ""},
		{"archive.url = nothing is read where nothing is archived", ""},
		{lock + "archive.s3.object.lock.days = 1", ""},
		{lock + "archive.s3.object.lock.days = 2", "9: archive.s3.object.lock.days: objects are locked for longer than archive.retention.ms: archive prune will find them retained"},
		{archiveOn + "archive.encription.key.url = file:///k", "7: archive.encription.key.url: unknown key; did you mean archive.encryption.key.url?"},
		{"A.archive.enabled = true", "5: A.archive.enabled: is not read for one cluster and has no effect; write B->A.archive.enabled"},
	} {
		errs, warnings := problemsOf(base + c.text)
		if len(errs) > 0 {
			t.Errorf("%s: %q", c.text, errs)
		}
		if c.want == "" && len(warnings) > 0 || c.want != "" && (len(warnings) != 1 || !strings.HasSuffix(warnings[0], "mm2.properties:"+c.want)) {
			t.Errorf("%s\ngot  %q\nwant %q", c.text, warnings, c.want)
		}
	}
}

// which says of each flow whether it replicates, and where it is archived.
func which(c *Config) (all []string) {
	for _, f := range c.Flows {
		if f.Enabled || f.Archive.Enabled {
			at := "-"
			if f.Archive.Enabled {
				at = f.Archive.URL
			}
			all = append(all, fmt.Sprintf("%s %t %s", f.Flow, f.Enabled, at))
		}
	}
	return all
}

func TestWhichFlowsAreArchived(t *testing.T) {
	const three = "clusters = A, B, C\nA.bootstrap.servers = a:9092\nB.bootstrap.servers = b:9092\nC.bootstrap.servers = c:9092\nA->B.enabled = true\nA->C.enabled = true\n"
	for _, c := range []struct {
		story, text string
		want        []string
		warnings    int
	}{
		{"bare it is for flows that replicate", base + archiveOn, []string{"A->B true file:///a"}, 0},
		{"a flow that only archives says so itself", base + "B->A.archive.enabled = true\nB->A.archive.url = file:///b\n", []string{"A->B true -", "B->A false file:///b"}, 0},
		{"with the URL from the bare key", base + "B->A.archive.enabled = true\narchive.url = file:///b\n", []string{"A->B true -", "B->A false file:///b"}, 0},
		{"one flow is left out", three + archiveOn + "A->B.archive.enabled = false\n", []string{"A->B true -", "A->C true file:///a"}, 0},
		{"one source goes into one store once", three + archiveOn, []string{"A->B true file:///a", "A->C true -"}, 1},
		{"and into two stores twice", three + archiveOn + "A->C.archive.url = file:///c\n", []string{"A->B true file:///a", "A->C true file:///c"}, 0},
		{"two sources go into one store", base + "B->A.enabled = true\n" + archiveOn, []string{"A->B true file:///a", "B->A true file:///a"}, 0},
	} {
		conf := load(t, c.text)
		got := which(conf)
		slices.Sort(got)
		if !slices.Equal(got, c.want) || len(conf.Warnings) != c.warnings {
			t.Errorf("%s:\ngot  %q, warnings %v\nwant %q", c.story, got, conf.Warnings, c.want)
		}
	}
	w := load(t, three+archiveOn).Warnings[0].String()
	if !strings.HasSuffix(w, "A->C.archive.enabled has no effect: A->B archives A into the same store already; topics that only this flow has are named in A->B.archive.topics") {
		t.Error(w)
	}
}

func TestArchiveValues(t *testing.T) {
	plain := flowOf(t, load(t, base+archiveOn+"topics = orders, carts\n"), "A", "B").Archive
	if plain.FlushInterval != 10*time.Second || plain.FlushBytes != 64<<20 || plain.Memory != 64<<20 || plain.Compression != "zstd" ||
		plain.Pause || plain.FromNow || plain.Retention != 0 || len(plain.KeyURLs) > 0 || plain.LockMode != "" || plain.LockDays != 0 {
		t.Errorf("the defaults: %+v", plain)
	}
	if !plain.Topics.Replicates("orders") || plain.Topics.Replicates("others") {
		t.Error("what is replicated is archived")
	}
	a := flowOf(t, load(t, base+archiveOn+`topics = orders, carts
archive.topics = orders, others.*
archive.topics.exclude = others.tmp
archive.from = now
archive.on.failure = pause
archive.retention.ms = 86400000
A->B.archive.retention.ms = 172800000
archive.encryption.key.url = awskms://alias/new?region=r, file:///old
archive.s3.sse = aws:kms
archive.s3.sse.kms.key.id = k
archive.s3.storage.class = STANDARD_IA
archive.s3.object.lock.mode = GOVERNANCE
archive.s3.object.lock.days = 2
`), "A", "B").Archive
	if a.Retention != 48*time.Hour || !a.Pause || !a.FromNow || a.SSE != "aws:kms" || a.KMSKeyID != "k" || a.StorageClass != "STANDARD_IA" || a.LockMode != "GOVERNANCE" || a.LockDays != 2 {
		t.Errorf("%+v", a)
	}
	if !slices.Equal(a.KeyURLs, []string{"awskms://alias/new?region=r", "file:///old"}) {
		t.Errorf("keys %q", a.KeyURLs)
	}
	for topic, want := range map[string]bool{"orders": true, "others1": true, "carts": false, "others.tmp": false, "__consumer_offsets": false} {
		if a.Topics.Replicates(topic) != want {
			t.Errorf("%s: %t", topic, !want)
		}
	}
}
