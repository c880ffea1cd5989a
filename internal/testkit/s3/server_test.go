package s3

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// What was put is there after a kill and a restart, at the same address.
func TestTheServerKeepsItsDataAndItsPort(t *testing.T) {
	server := Start(t)
	server.Bucket(t, "bucket", false)
	put := &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("a/b"), Body: strings.NewReader("hello")}
	if _, err := server.Client().PutObject(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	before := server.Endpoint()
	server.Stop()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	head, err := server.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: put.Bucket, Key: put.Key})
	if err != nil || aws.ToInt64(head.ContentLength) != 5 || server.Endpoint() != before {
		t.Fatalf("got %v, %v at %s; want 5 bytes at %s", head, err, server.Endpoint(), before)
	}
}

func TestAFailedBuildIsNotTakenForDone(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", t.TempDir())
	for range 2 {
		if _, err := install(dir); err == nil || !strings.Contains(err.Error(), module) {
			t.Fatalf("got %v, want an error that names %s", err, module)
		}
	}
}
