package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"tandem/internal/policy"
	"tandem/internal/stream"
)

// Archive says whether a flow's records are archived, where and how. It holds the settings as they are; what they mean is with
// packages archive, archive/store and archive/keys.
type Archive struct {
	Enabled bool
	URL     string // of the store, without credentials
	Topics  policy.Selector
	FromNow bool // archive.from=now
	Pause   bool // archive.on.failure=pause

	FlushInterval time.Duration
	FlushBytes    int64
	Memory        int64
	Compression   string        // none or zstd
	Retention     time.Duration // 0: for ever

	KeyURLs []string // archive.encryption.key.url: the first one encrypts, all decrypt; none: not encrypted

	SSE, KMSKeyID, StorageClass string
	LockMode                    string // GOVERNANCE or COMPLIANCE; empty: none
	LockDays                    int
}

var archiveKeys = []key{
	{name: "archive.enabled", scopes: flow | bare, kind: boolean, def: "false", own: true, meaning: "Keep every record batch of the flow in object storage. Written bare it reaches the flows that replicate; `A->B.archive.enabled = true` with `A->B.enabled = false` archives A and replicates nothing.", change: "true to be able to bring back any topic as of any moment."},
	{name: "archive.url", scopes: flow | bare, kind: text, own: true, meaning: "The store: `s3://BUCKET/PREFIX?region=R&endpoint=URL`, `file:///DIR`, `gs://BUCKET/PREFIX`, `azblob://CONTAINER/PREFIX`. Credentials come from where the store's own SDK finds them, never from here.", change: "Needed where something is archived."},
	{name: "archive.topics", scopes: flow | bare, kind: regexList, own: true, meaning: "Topics to archive, as in `topics`; empty is what `topics` says.", change: "To archive less, or more, than is replicated."},
	{name: "archive.topics.exclude", scopes: flow | bare, kind: regexList, own: true, meaning: "Topics not to archive, as in `topics.exclude`; empty is what `topics.exclude` says.", change: "Repeat `topics.exclude` when adding to it."},
	{name: "archive.from", scopes: flow | bare, kind: text, def: "earliest", oneOf: []string{"earliest", "now"}, own: true, meaning: "Where the archive of a topic begins of which nothing is archived yet: with all that the source has, or with what comes from now on. Partitions and topics that are new later are archived from their beginning in any case.", change: "now where the history is not worth reading."},
	{name: "archive.flush.interval.ms", scopes: flow | bare, kind: long, def: "10000", min: 100, own: true, meaning: "A bundle is stored this long after its first record at the latest. What is not stored yet is lost with the source.", change: "Lower it to lose less, raise it to pay for fewer requests."},
	{name: "archive.flush.bytes", scopes: flow | bare, kind: long, def: "67108864", min: 64 << 10, own: true, meaning: "And when it has this many bytes, or a third of archive.memory.bytes.", change: "Rarely."},
	{name: "archive.memory.bytes", scopes: flow | bare, kind: long, def: "67108864", min: 1 << 20, own: true, meaning: "Memory for what waits to be stored, for each flow that archives. What does not fit is read from the source again, later.", change: "Raise it where the store is slow and the source is far away."},
	{name: "archive.compression", scopes: flow | bare, kind: text, def: "zstd", oneOf: []string{"zstd", "none"}, own: true, meaning: "Compression of batches that their producers left uncompressed. Others are kept as they are.", change: "none to save CPU."},
	{name: "archive.on.failure", scopes: flow | bare, kind: text, def: "detach", oneOf: []string{"detach", "pause"}, own: true, meaning: "What replication does while the store cannot be written: detach goes on, and the archive reads what it missed from the source later; pause waits for the archive.", change: "pause where nothing may be replicated that is not archived soon, and the source's retention is short."},
	{name: "archive.retention.ms", scopes: flow | bare, kind: long, def: "-1", min: -1, own: true, meaning: "Age from which on `archive prune` may remove, where it is not told otherwise; -1 is for ever. mirror itself never removes anything.", change: "When storage must not grow for ever."},
	{name: "archive.encryption.key.url", scopes: flow | bare, kind: list, own: true, meaning: "Key that encrypts the data keys of bundles: `awskms://`, `gcpkms://`, `azurekeyvault://`, `hashivault://`, or `file:///PATH` made by `archive keys new`. Of several, the first one encrypts, and all decrypt.", change: "When the store must not be able to read what it holds. To rotate, put the new one in front."},
	{name: "archive.s3.sse", scopes: flow | bare, kind: text, oneOf: []string{"AES256", "aws:kms", "aws:kms:dsse"}, own: true, meaning: "Encryption by S3 itself. Empty is what the bucket does.", change: "Where the bucket's default is not what is wanted."},
	{name: "archive.s3.sse.kms.key.id", scopes: flow | bare, kind: text, own: true, meaning: "Its key, with aws:kms.", change: "With a key of one's own."},
	{name: "archive.s3.storage.class", scopes: flow | bare, kind: text, own: true, meaning: "Storage class of new objects, such as `STANDARD_IA`. Empty is what the bucket does.", change: "When storage costs more than requests. Classes that must be thawed first make the archive slow to begin, as it reads its own last bundle."},
	{name: "archive.s3.object.lock.mode", scopes: flow | bare, kind: text, oneOf: []string{"GOVERNANCE", "COMPLIANCE"}, own: true, meaning: "Lock each object when it is written. The bucket must have been made with object lock.", change: "Against deletion by mistake or by an intruder. COMPLIANCE cannot be taken back by anybody."},
	{name: "archive.s3.object.lock.days", scopes: flow | bare, kind: integer, def: "0", min: 0, own: true, meaning: "For so many days.", change: "With a lock mode. Not more than archive.retention.ms."},
}

// archive sets what is about the archive, and says what does not go together.
func (b builder) archive(out *Flow, connector settings) {
	on := b.archives(out.Flow, connector, out.Enabled)
	a := Archive{
		Enabled: on,
		URL:     b.text(connector, "archive.url"),
		FromNow: b.text(connector, "archive.from") == "now",
		Pause:   b.text(connector, "archive.on.failure") == "pause",

		FlushInterval: b.milliseconds(connector, "archive.flush.interval.ms", flow),
		FlushBytes:    b.number(connector, "archive.flush.bytes", flow),
		Memory:        b.number(connector, "archive.memory.bytes", flow),
		Compression:   b.text(connector, "archive.compression"),
		Retention:     max(b.milliseconds(connector, "archive.retention.ms", flow), 0),

		KeyURLs: b.list(connector, "archive.encryption.key.url"),

		SSE: b.text(connector, "archive.s3.sse"), KMSKeyID: b.text(connector, "archive.s3.sse.kms.key.id"),
		StorageClass: b.text(connector, "archive.s3.storage.class"), LockMode: b.text(connector, "archive.s3.object.lock.mode"),
		LockDays: int(b.number(connector, "archive.s3.object.lock.days", flow)),
	}
	a.Topics = out.Topics
	topics, err := b.filter(connector, "archive.topics")
	if err != nil {
		b.problems.fail(0, out.String(), "%v", err)
	}
	a.Topics.Topics = topics
	if on {
		b.checkArchive(out.Flow, a, connector)
	}
	out.Archive = a
}

// archives: bare, the switch is for flows that replicate; a flow that only archives says so itself.
func (b builder) archives(f stream.Flow, connector settings, replicates bool) bool {
	e, set := connector["archive.enabled"]
	return set && b.boolean(connector, "archive.enabled") && (replicates || strings.HasPrefix(e.key, f.String()+"."))
}

func (b builder) checkArchive(f stream.Flow, a Archive, connector settings) {
	if a.URL == "" {
		b.problems.fail(connector["archive.enabled"].line, connector["archive.enabled"].key,
			"needs archive.url, as in: archive.url = file:///var/lib/tandem or s3://bucket/prefix?region=eu-central-1")
		return
	}
	at := connector["archive.url"]
	// The value is not repeated: somebody may have put a secret there.
	u, err := url.Parse(a.URL)
	if err != nil || !slices.Contains([]string{"s3", "file", "gs", "azblob", "mem"}, u.Scheme) {
		b.problems.bad(at, "must be a URL of s3://, file://, gs:// or azblob://")
	}
	if (a.LockMode == "") != (a.LockDays == 0) {
		b.problems.fail(at.line, f.String(), "archive.s3.object.lock.mode and archive.s3.object.lock.days need each other")
	}
	if lock := duration(int64(a.LockDays), 24*time.Hour); a.Retention > 0 && lock > a.Retention {
		e := connector["archive.s3.object.lock.days"]
		b.problems.warn(Warning{Line: e.line, Key: e.key, Message: "objects are locked for longer than archive.retention.ms: archive prune will find them retained"})
	}
}

// onceEach switches the archive of a flow off whose source another flow archives into the same store: what two would write is one and
// the same.
func (b builder) onceEach(flows []Flow) {
	type place struct{ source, url string }
	by := make(map[place]stream.Flow)
	for i, f := range flows {
		if !f.Archive.Enabled {
			continue
		}
		at := place{f.Source, f.Archive.URL}
		if first, taken := by[at]; taken {
			b.problems.warn(Warning{Message: f.String() + ".archive.enabled has no effect: " + first.String() + " archives " + f.Source + " into the same store already; topics that only this flow has are named in " + first.String() + ".archive.topics"})
			flows[i].Archive.Enabled = false
			continue
		}
		by[at] = f.Flow
	}
}

// Keeps says whether a topic of the source belongs into the archive: as Topics says, but never heartbeats. They are nothing to bring back,
// and would make an object every few seconds where nothing else happens.
func (a Archive) Keeps(topic string) bool {
	return a.Topics.Replicates(topic) && !a.Topics.Policy.IsHeartbeatsTopic(topic)
}
