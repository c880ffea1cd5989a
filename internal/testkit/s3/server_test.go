package s3

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
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

// A broken upload leaves nothing, one whose answer is lost is there when nobody is busy any more; Then sees both as they are.
func TestTheProxySpoilsUploads(t *testing.T) {
	server := Start(t)
	server.Bucket(t, "bucket", false)
	proxy := server.NewProxy(t)
	there := func() bool {
		_, err := server.Client().HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String("bucket"), Key: aws.String("a")})
		return err == nil
	}
	client := s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(proxy.URL), UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
	for _, tt := range []struct {
		name        string
		fault       Fault
		fails, kept bool
	}{
		{"dropped", Fault{Drop: true}, true, false},
		{"cut on the way there", Fault{CutUpload: 1000}, true, false},
		{"slow", Fault{CutUpload: 1000, Rate: 100_000}, true, false},
		{"answer lost", Fault{LoseAnswer: true}, true, true},
		{"passes", Fault{Rate: 10_000_000}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			then := make(chan bool, 1)
			tt.fault.Then = func() { then <- there() }
			proxy.Next(http.MethodPut, tt.fault)
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: aws.String("bucket"), Key: aws.String("a"), Body: strings.NewReader(strings.Repeat("x", 100_000)),
			})
			if kept := <-then; (err != nil) != tt.fails || kept != tt.kept {
				t.Fatalf("%v; the object is there: %v", err, kept)
			}
			if _, err := server.Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("bucket"), Key: aws.String("a")}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
