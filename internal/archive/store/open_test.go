package store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	smithy "github.com/aws/smithy-go"
	"google.golang.org/api/googleapi"
)

// What a URL or a setting gets wrong is said, and no secret is repeated.
func TestRefusedURLs(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	tests := []struct {
		url  string
		s3   S3Options
		want string
	}{
		{"s3://KEY:SECRET@bucket", S3Options{}, "no user or password"},
		{"s3://bucket\x7f?SECRET", S3Options{}, "not a URL"},
		{"s3://bucket?region=r&secret_key=SECRET", S3Options{}, `unknown parameter "secret_key"`},
		{"s3://bucket?region=r&endpoint=http://KEY:SECRET@host", S3Options{}, "endpoint"},
		{"s3://bucket?region=r&region=s", S3Options{}, "2 times"},
		{"s3://bucket", S3Options{}, "no region"},
		{"s3:///prefix", S3Options{}, "needs a bucket"},
		{"s3://bucket/a//b?region=r", S3Options{}, "prefix"},
		{"s3://bucket?region=r&use_path_style=maybe", S3Options{}, "use_path_style"},
		{"s3://bucket?region=r", S3Options{SSE: "aes"}, "archive.s3.sse = aes"},
		{"s3://bucket?region=r", S3Options{KMSKeyID: "k"}, "archive.s3.sse must be"},
		{"s3://bucket?region=r", S3Options{StorageClass: "GLACIER"}, "archive.s3.storage.class"},
		{"s3://bucket?region=r", S3Options{LockMode: "compliance", LockDays: 1}, "archive.s3.object.lock.mode"},
		{"s3://bucket?region=r", S3Options{LockMode: "COMPLIANCE"}, "go together"},
		{"s3://bucket?region=r", S3Options{LockMode: "COMPLIANCE", LockDays: -1}, "archive.s3.object.lock.days"},
		{"file://relative/dir", S3Options{}, "three slashes"},
		{"file:///no/such/dir", S3Options{}, "no such folder"},
		{"file:///tmp", S3Options{SSE: "AES256"}, "archive.s3.* is set"},
		{"file:///tmp?metadata=skip", S3Options{}, "unknown parameter"},
		{"ftp://host/dir", S3Options{}, "unknown scheme"},
		{"bucket", S3Options{}, "unknown scheme"},
	}
	for _, tt := range tests {
		_, err := Open(t.Context(), tt.url, Options{S3: tt.s3})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") || Classify(err) != Settings {
			t.Errorf("%s: got %v, want %q", tt.url, err, tt.want)
		}
	}
}

// Google's and Azure's stores are made, no more: no server of theirs runs here.
func TestGoogleAndAzureAreMade(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
	t.Setenv("AZURE_STORAGE_ACCOUNT", "account")
	t.Setenv("AZURE_STORAGE_KEY", "c2VjcmV0")
	for _, url := range []string{"gs://bucket/prefix", "azblob://container/prefix?domain=127.0.0.1:1&protocol=http"} {
		s, err := Open(t.Context(), url, Options{Patience: -1, Idle: 300 * time.Millisecond})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if _, err = s.Stat(t.Context(), "a"); Classify(err) != Transient || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: nobody listens, got %v (%s)", url, err, Classify(err))
		}
		s.Close()
	}
}

func TestErrorsShowNoSecret(t *testing.T) {
	inner := &url.Error{Op: "Get", URL: "https://a.blob.core.windows.net/c/b?se=2026&sig=SECRET%3D&sp=r", Err: io.EOF}
	for _, err := range []error{
		&Error{Op: "get", Name: "a", Err: inner},
		&Error{Op: "get", Name: "a", Err: errors.New("https://b.s3/a?X-Amz-Signature=SECRET&X-Amz-Security-Token=SECRET")},
	} {
		if strings.Contains(err.Error(), "SECRET") {
			t.Error(err)
		}
	}
}

func TestClassify(t *testing.T) {
	azure := func(status int, code string) error { return &azcore.ResponseError{StatusCode: status, ErrorCode: code} }
	tests := []struct {
		err  error
		want Kind
	}{
		{nil, Other},
		{errors.New("anything"), Other},
		{&smithy.GenericAPIError{Code: "NoSuchKey"}, NotFound},
		{&smithy.GenericAPIError{Code: "NotFound"}, Other}, // what HEAD says of whatever has no body
		{&smithy.GenericAPIError{Code: "NoSuchBucket"}, Settings},
		{&smithy.OperationError{ServiceID: "S3", Err: &smithy.OperationError{ServiceID: "ec2imds", Err: syscall.ECONNREFUSED}}, AccessDenied},
		{azure(404, "BlobNotFound"), NotFound},
		{azure(404, "ContainerNotFound"), Settings},
		{azure(404, ""), Other},
		{azure(409, "BlobAlreadyExists"), Conflict},
		{azure(409, "BlobImmutableDueToPolicy"), Retained},
		{azure(503, "ServerBusy"), Throttled},
		{azure(403, "AuthorizationPermissionMismatch"), AccessDenied},
		{fmt.Errorf("%w: %w", storage.ErrObjectNotExist, &googleapi.Error{Code: 404}), Other}, // until a listing shows the bucket
		{fmt.Errorf("%w: %w", storage.ErrBucketNotExist, &googleapi.Error{Code: 404}), Settings},
		{&googleapi.Error{Code: 403, Errors: []googleapi.ErrorItem{{Reason: "retentionPolicyNotMet"}}}, Retained},
		{&googleapi.Error{Code: 403}, AccessDenied},
		{&googleapi.Error{Code: 429}, Throttled},
		{&fs.PathError{Op: "write", Err: syscall.ENOSPC}, Full},
		{&fs.PathError{Op: "write", Err: syscall.EDQUOT}, Full},
		{&fs.PathError{Op: "open", Err: syscall.EACCES}, AccessDenied},
		{&fs.PathError{Op: "open", Err: syscall.EROFS}, AccessDenied},
		{&fs.PathError{Op: "open", Err: syscall.ENOENT}, Other}, // the folder decides: see absent
		{&fs.PathError{Op: "read", Err: syscall.EIO}, Other},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Transient},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, Transient},
		{&url.Error{Op: "Get", URL: "https://x", Err: x509.UnknownAuthorityError{}}, Settings},
		{context.Canceled, Canceled},
		{context.DeadlineExceeded, Transient},
		{fmt.Errorf("%w: %w", errStalled, context.Canceled), Transient},
		{fmt.Errorf("outer: %w", &Error{Kind: Full, Err: context.Canceled}), Full},
	}
	for _, tt := range tests {
		if got := Classify(tt.err); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
	if got := classifyStatus(http.StatusNotFound); got == NotFound {
		t.Error("a bare 404 is taken for a missing object")
	}
}

// A folder that goes away, as one that is not mounted, is never an empty archive.
func TestAFolderThatIsGone(t *testing.T) {
	root := filepath.Join(t.TempDir(), "archive")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	s := opened(t, "file://"+root, Options{})
	mustPut(t, s, "a/b", "content")
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Stat(t.Context(), "a/b")
	wantKind(t, err, Settings, "is it mounted?")
	_, err = s.Get(t.Context(), "a/b", 0, -1)
	wantKind(t, err, Settings)
	wantKind(t, s.Delete(t.Context(), "a/b"), Settings)
	wantKind(t, put(t.Context(), s, "a/c", "x"), Settings)
	for _, err := range s.List(t.Context(), "", "") {
		wantKind(t, err, Settings)
	}
}

// A writer that was killed, or a body that fails, leaves no object, and in time no trace.
func TestAFileIsWholeOrNotThere(t *testing.T) {
	root := t.TempDir()
	stale := filepath.Join(root, incoming+"old")
	young := filepath.Join(root, incoming+"new")
	for _, file := range []string{stale, young} {
		if err := os.WriteFile(file, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	s := opened(t, "file://"+root, Options{})
	if err := s.Put(t.Context(), "a/b", shortBody{strings.NewReader("content")}); err == nil {
		t.Fatal("a body that ends early was written")
	}
	if got := names(t, s, "", ""); len(got) != 0 {
		t.Fatal(got)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(young) {
		t.Fatal(entries, err)
	}
}

type shortBody struct{ *strings.Reader }

func (b shortBody) Size() int64 { return b.Reader.Size() + 1 }
