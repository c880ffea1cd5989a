package store

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	s3kit "tandem/internal/testkit/s3"
)

// badNetwork spoils every third request, each time in another way. Puts lose their answers too.
func badNetwork() func(*http.Request) s3kit.Fault {
	ways := []s3kit.Fault{
		{Status: 500, Code: "InternalError"}, {Drop: true}, {LoseAnswer: true}, {Status: 503}, {Cut: 3}, {Status: 409, Code: "OperationAborted"},
	}
	n := 0
	return func(*http.Request) s3kit.Fault {
		if n++; n%3 != 0 {
			return s3kit.Fault{}
		}
		return ways[(n/3)%len(ways)]
	}
}

// behindProxy is a store with one object, "a", and little patience.
func behindProxy(t *testing.T, o Options) (Store, *s3kit.Proxy, *s3kit.Server) {
	t.Helper()
	server := s3kit.Start(t)
	server.Bucket(t, "bucket", false)
	proxy := server.NewProxy(t)
	s := opened(t, s3kit.URL(proxy.URL, "bucket", ""), o)
	mustPut(t, s, "a", strings.Repeat("0123456789", 100_000))
	return s, proxy, server
}

// Nothing but the store's own NoSuchKey is "not found", whatever the operation.
func TestWhatAnAnswerMeans(t *testing.T) {
	s, proxy, _ := behindProxy(t, Options{Patience: -1, Idle: 200 * time.Millisecond})
	tests := []struct {
		fault s3kit.Fault
		want  Kind
	}{
		{s3kit.Fault{Status: 404}, Other}, // some proxy's page
		{s3kit.Fault{Status: 404, Code: "NoSuchBucket"}, Settings},
		{s3kit.Fault{Status: 403, Code: "AccessDenied"}, AccessDenied},
		{s3kit.Fault{Status: 403, Code: "SignatureDoesNotMatch"}, AccessDenied},
		{s3kit.Fault{Status: 500, Code: "InternalError"}, Transient},
		{s3kit.Fault{Status: 502}, Transient},
		{s3kit.Fault{Status: 503, Code: "SlowDown"}, Throttled},
		{s3kit.Fault{Status: 429}, Throttled},
		{s3kit.Fault{Status: 507}, Full},
		{s3kit.Fault{Status: 301, Code: "PermanentRedirect"}, Settings},
		{s3kit.Fault{Status: 501, Code: "NotImplemented"}, Settings},
		{s3kit.Fault{Drop: true}, Transient},
		{s3kit.Fault{Stall: true}, Transient},
	}
	for _, tt := range tests {
		proxy.Script(func(*http.Request) s3kit.Fault { return tt.fault })
		_, err := s.Get(t.Context(), "a", 0, -1)
		got := []Kind{Classify(err)}
		_, err = s.Stat(t.Context(), "a")
		got = append(got, Classify(err), Classify(s.Delete(t.Context(), "a")), Classify(put(t.Context(), s, "b", "b")))
		for _, err := range s.List(t.Context(), "", "") {
			got = append(got, Classify(err))
		}
		// HEAD has no code in its answer: SlowDown there is one of many 503.
		for i, kind := range got {
			if kind != tt.want && !(i == 1 || i == 2) || kind == NotFound {
				t.Errorf("%+v: get, stat, delete, put, list give %v, want %s", tt.fault, got, tt.want)
				break
			}
		}
	}
}

func TestAMissingBucketIsNotAMissingObject(t *testing.T) {
	server := s3kit.Start(t)
	s := opened(t, s3kit.URL(server.Endpoint(), "nowhere", ""), Options{Patience: -1})
	_, err := s.Stat(t.Context(), "a")
	wantKind(t, err, Settings, "NoSuchBucket")
	_, err = s.Get(t.Context(), "a", 0, -1)
	wantKind(t, err, Settings)
	wantKind(t, put(t.Context(), s, "a", "x"), Settings)
	wantKind(t, s.Delete(t.Context(), "a"), Settings)
	for _, err := range s.List(t.Context(), "", "") {
		wantKind(t, err, Settings)
	}
}

// The put arrived, its answer did not: the next try finds the object and knows it as its own.
func TestAPutWhoseAnswerIsLost(t *testing.T) {
	s, proxy, _ := behindProxy(t, Options{})
	proxy.Next(http.MethodPut, s3kit.Fault{LoseAnswer: true})
	mustPut(t, s, "b", "content")
	proxy.Next(http.MethodPut, s3kit.Fault{LoseAnswer: true})
	wantKind(t, put(t.Context(), s, "b", "another"), Conflict)
}

// versitygw keeps the SHA-256 it was given and checked, so nothing is downloaded to compare.
func TestComparingDownloadsNothing(t *testing.T) {
	s, proxy, _ := behindProxy(t, Options{})
	var gets atomic.Int32
	proxy.Script(func(r *http.Request) s3kit.Fault {
		if r.Method == http.MethodGet {
			gets.Add(1)
		}
		return s3kit.Fault{}
	})
	mustPut(t, s, "a", strings.Repeat("0123456789", 100_000))
	wantKind(t, put(t.Context(), s, "a", strings.Repeat("9876543210", 100_000)), Conflict)
	if gets.Load() != 0 {
		t.Fatalf("%d GET requests", gets.Load())
	}
}

// fickle is a body that reads otherwise the second time.
type fickle struct {
	*strings.Reader
	reads int
}

func (f *fickle) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.Reader.ReadAt(p, off)
	if f.reads++; f.reads > 1 && n > 0 {
		p[0]++
	}
	return n, err
}

// The server refuses bytes that are not those that were hashed: what memory or the way there has changed never becomes an object.
func TestTheServerChecksTheDigest(t *testing.T) {
	s, _, _ := behindProxy(t, Options{Patience: -1})
	if err := s.Put(t.Context(), "b", &fickle{Reader: strings.NewReader("content")}); err == nil {
		t.Fatal("accepted")
	}
	_, err := s.Stat(t.Context(), "b")
	wantKind(t, err, NotFound)
}

// A body that breaks or stalls goes on where it did, with as many requests as breaks.
func TestABodyIsResumed(t *testing.T) {
	s, proxy, _ := behindProxy(t, Options{Idle: 300 * time.Millisecond})
	proxy.Next(http.MethodGet, s3kit.Fault{Cut: 300_000}, s3kit.Fault{CutStall: 100_000}, s3kit.Fault{Drop: true}, s3kit.Fault{Cut: 1},
		s3kit.Fault{Status: 503, Code: "SlowDown"})
	got, err := read(t.Context(), s, "a", 7, -1)
	if want := strings.Repeat("0123456789", 100_000)[7:]; err != nil || got != want {
		t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if proxy.Requests() < 6 {
		t.Fatalf("%d requests", proxy.Requests())
	}
}

// Retries are told of, and end when patience does or the context.
func TestTriesEnd(t *testing.T) {
	var told atomic.Int32
	s, proxy, _ := behindProxy(t, Options{Patience: 400 * time.Millisecond, Retried: func(r Retry) {
		if r.Err.Kind != Transient || r.Err.Op != "put" || r.Err.Name != "b" || r.In <= 0 {
			t.Errorf("%+v", r)
		}
		told.Add(1)
	}})
	proxy.Script(func(*http.Request) s3kit.Fault { return s3kit.Fault{Status: 500, Code: "InternalError"} })
	wantKind(t, put(t.Context(), s, "b", "x"), Transient, "given up")
	if told.Load() == 0 {
		t.Fatal("nobody was told")
	}
}

// Under a lock a delete is refused with the date, and hides nothing. Once unlocked, the bytes are gone, all versions of them.
func TestObjectLock(t *testing.T) {
	server := s3kit.Start(t)
	server.Bucket(t, "locked", true)
	url := s3kit.URL(server.Endpoint(), "locked", "p")
	s := opened(t, url, Options{S3: S3Options{LockMode: "COMPLIANCE", LockDays: 3}})
	before := time.Now().AddDate(0, 0, 3)
	mustPut(t, s, "a", "content")
	info, err := s.Stat(t.Context(), "a")
	if err != nil || info.Retained.Sub(before).Abs() > time.Hour {
		t.Fatalf("%+v, %v; want retained until %s", info, err, before)
	}
	err = s.Delete(t.Context(), "a")
	wantKind(t, err, Retained, "retained until "+info.Retained.UTC().Format(time.RFC3339))
	var e *Error
	if !errors.As(err, &e) || !e.Until.Equal(info.Retained) {
		t.Fatalf("%v: until %s", err, e.Until)
	}
	wantKind(t, put(t.Context(), s, "a", "another"), Conflict)
	mustPut(t, s, "a", "content")
	if got := names(t, s, "", ""); !slices.Equal(got, []string{"a"}) {
		t.Fatal(got)
	}

	free := opened(t, url, Options{})
	mustPut(t, free, "b", "content")
	_, err = server.Client().PutObjectLegalHold(t.Context(), &s3.PutObjectLegalHoldInput{
		Bucket: aws.String("locked"), Key: aws.String("p/b"), LegalHold: &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOn},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, free.Delete(t.Context(), "b"), Retained)
	mustPut(t, free, "c", "content")
	if err := free.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	versions, err := server.Client().ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String("locked"), Prefix: aws.String("p/c")})
	if err != nil || len(versions.Versions)+len(versions.DeleteMarkers) != 0 {
		t.Fatalf("%d versions and %d marks are left, %v", len(versions.Versions), len(versions.DeleteMarkers), err)
	}
}

// Each setting is seen in the request: disconnect one and this fails.
func TestS3SettingsAreSent(t *testing.T) {
	server := s3kit.Start(t)
	proxy := server.NewProxy(t)
	var got http.Header
	proxy.Script(func(r *http.Request) s3kit.Fault {
		got = r.Header.Clone()
		return s3kit.Fault{Status: 400, Code: "Enough"}
	})
	o := S3Options{SSE: "aws:kms", KMSKeyID: "key-1", StorageClass: "STANDARD_IA", LockMode: "GOVERNANCE", LockDays: 30}
	s := opened(t, s3kit.URL(proxy.URL, "bucket", ""), Options{S3: o, Patience: -1})
	_ = put(t.Context(), s, "a", "content")
	want := map[string]string{
		"If-None-Match":                               "*",
		"X-Amz-Checksum-Sha256":                       "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=",
		"X-Amz-Content-Sha256":                        "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
		"X-Amz-Server-Side-Encryption":                "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key-1",
		"X-Amz-Storage-Class":                         "STANDARD_IA",
		"X-Amz-Object-Lock-Mode":                      "GOVERNANCE",
	}
	for name, value := range want {
		if got.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Get(name), value)
		}
	}
	until, err := time.Parse(time.RFC3339, got.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil || until.Sub(time.Now().AddDate(0, 0, 30)).Abs() > time.Hour {
		t.Errorf("retained until %s, %v", until, err)
	}
}

// A server that is down and comes back: what was under way waits for it.
func TestAServerThatComesBack(t *testing.T) {
	restart := make(chan struct{}, 100)
	server := s3kit.Start(t)
	server.Bucket(t, "bucket", false)
	s := opened(t, s3kit.URL(server.Endpoint(), "bucket", ""), Options{Retried: func(Retry) { restart <- struct{}{} }})
	server.Stop()
	done := make(chan error, 1)
	go func() { done <- put(t.Context(), s, "a", "content") }()
	<-restart
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
