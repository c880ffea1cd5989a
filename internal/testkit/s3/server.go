package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tandem/internal/testkit/proc"
)

const (
	access = "tandem-test"
	secret = "tandem-test-secret"
	region = "us-east-1"

	patience = 30 * time.Second
)

// Server is a running versitygw.
type Server struct {
	program string
	dir     string
	port    int
	process *proc.Process
}

// Start runs a server for the length of the test and puts its keys where the AWS SDK's own chain looks for them.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{program: program, dir: t.TempDir()}
	for _, dir := range []string{"data", "versions"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A port that was free a moment ago may be taken by another process: then another one is.
	for tries := 0; ; tries++ {
		if s.port, err = freePort(); err != nil {
			t.Fatal(err)
		}
		if err = s.Restart(); err == nil {
			break
		}
		if tries == 4 {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.Stop)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	return s
}

// Restart starts the server that is stopped: same port, same data. It returns once the port answers.
func (s *Server) Restart() error {
	process, err := proc.Start(filepath.Join(s.dir, "log"), s.program, "--access", access, "--secret", secret,
		"--region", region, "--port", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), "--keep-alive",
		"posix", "--versioning-dir", filepath.Join(s.dir, "versions"), filepath.Join(s.dir, "data"))
	if err != nil {
		return err
	}
	s.process = process
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		if err := process.ExitedWith(); err != nil {
			return err
		}
		if _, err := s.Client().ListBuckets(context.Background(), &s3.ListBucketsInput{}); err == nil {
			return nil
		} else if time.Now().After(deadline) {
			s.Stop()
			return fmt.Errorf("start versitygw: no answer in %s: %w\n%s", patience, err, process.LogTail(20))
		}
	}
}

// Stop ends the server with SIGKILL.
func (s *Server) Stop() {
	s.process.Kill()
}

// Endpoint is the server's address, http://127.0.0.1:PORT.
func (s *Server) Endpoint() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// URL is an archive.url of the bucket and prefix, at the server or at the endpoint of a proxy before it.
func URL(endpoint, bucket, prefix string) string {
	query := url.Values{"endpoint": {endpoint}, "region": {region}, "use_path_style": {"true"}}
	return "s3://" + bucket + "/" + prefix + "?" + query.Encode()
}

// Folder is where the objects of the bucket lie as plain files: a test changes bytes there behind the server's back.
func (s *Server) Folder(bucket string) string { return filepath.Join(s.dir, "data", bucket) }

// Bucket makes a bucket; with lock it has versions and object lock, without a default retention.
func (s *Server) Bucket(t testing.TB, name string, lock bool) {
	t.Helper()
	in := &s3.CreateBucketInput{Bucket: aws.String(name)}
	if lock {
		in.ObjectLockEnabledForBucket = aws.Bool(true)
	}
	if _, err := s.Client().CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// Client is for what a test has to do to the server beside the store that it tests.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(s.Endpoint()), UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: not TCP")
	}
	return tcp.Port, nil
}
