package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithy "github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	"gocloud.dev/blob/s3blob"
)

// S3Options are the archive.s3.* settings; empty means that the bucket decides.
type S3Options struct {
	SSE          string // archive.s3.sse: AES256, aws:kms or aws:kms:dsse
	KMSKeyID     string // archive.s3.sse.kms.key.id
	StorageClass string // archive.s3.storage.class
	LockMode     string // archive.s3.object.lock.mode: GOVERNANCE or COMPLIANCE
	LockDays     int    // archive.s3.object.lock.days, from the moment of the write
}

// The storage classes that can be read at any time. An object in another one must be brought back before it can be read.
var readable = []types.StorageClass{
	types.StorageClassStandard, types.StorageClassReducedRedundancy, types.StorageClassStandardIa, types.StorageClassOnezoneIa,
	types.StorageClassIntelligentTiering, types.StorageClassGlacierIr, types.StorageClassOutposts, types.StorageClassExpressOnezone,
}

const maxLockDays = 36500 // S3's limit of a retention period

func (o S3Options) check() error {
	switch {
	case o.SSE != "" && !slices.Contains(types.ServerSideEncryption("").Values(), types.ServerSideEncryption(o.SSE)):
		return fmt.Errorf("archive.s3.sse = %s: want AES256, aws:kms or aws:kms:dsse", o.SSE)
	case o.KMSKeyID != "" && !strings.HasPrefix(o.SSE, "aws:kms"):
		return errors.New("archive.s3.sse.kms.key.id is set: archive.s3.sse must be aws:kms or aws:kms:dsse")
	case o.StorageClass != "" && !slices.Contains(readable, types.StorageClass(o.StorageClass)):
		return fmt.Errorf("archive.s3.storage.class = %s: not one that can be read at any time", o.StorageClass)
	case o.LockMode != "" && !slices.Contains(types.ObjectLockMode("").Values(), types.ObjectLockMode(o.LockMode)):
		return fmt.Errorf("archive.s3.object.lock.mode = %s: want GOVERNANCE or COMPLIANCE", o.LockMode)
	case (o.LockMode != "") != (o.LockDays != 0):
		return errors.New("archive.s3.object.lock.mode and archive.s3.object.lock.days go together")
	case o.LockDays < 0 || o.LockDays > maxLockDays:
		return fmt.Errorf("archive.s3.object.lock.days = %d: want 1 to %d", o.LockDays, maxLockDays)
	}
	return nil
}

// s3Bucket reads through gocloud. It creates by itself, since gocloud copies the whole body into memory and hashes it again; it asks for
// and removes versions, which gocloud does not know; and it believes an answer only if it has what S3 always says (errForeign).
type s3Bucket struct {
	bucket
	client *s3.Client
	name   string
	o      S3Options
}

func openS3(ctx context.Context, u *url.URL, prefix string, o S3Options) (backend, error) {
	if u.Host == "" {
		return nil, errors.New("s3:// needs a bucket")
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	query := u.Query()
	endpoint := query.Get("endpoint")
	if err := checkEndpoint(endpoint); err != nil {
		return nil, err
	}
	pathStyle := endpoint != "" // few other stores have a host name for each bucket
	if text := query.Get("use_path_style"); text != "" {
		var err error
		if pathStyle, err = strconv.ParseBool(text); err != nil {
			return nil, errors.New("use_path_style: want true or false")
		}
	}
	cfg, err := config.LoadDefaultConfig(ctx, loadOptions(query)...)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		if endpoint == "" {
			return nil, errors.New("no region: add ?region=..., or set AWS_REGION")
		}
		cfg.Region = "us-east-1" // what stores that know no regions expect in a signature
	}
	client := s3.NewFromConfig(cfg, func(c *s3.Options) {
		c.UsePathStyle = pathStyle
		if endpoint != "" {
			c.BaseEndpoint = aws.String(endpoint)
		}
	})
	b, err := s3blob.OpenBucket(ctx, client, u.Host, nil)
	if err != nil {
		return nil, err
	}
	return &s3Bucket{bucket: bucket{Bucket: b, prefix: prefix, scheme: "s3"}, client: client, name: u.Host, o: o}, nil
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.User != nil || e.Host == "" || (e.Scheme != "http" && e.Scheme != "https") {
		return errors.New("endpoint: want http://HOST:PORT or https://HOST, without user and password")
	}
	return nil
}

func loadOptions(query url.Values) []func(*config.LoadOptions) error {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // the shell tries again
		config.WithLogger(logging.Nop{}),                                   // commands log; what matters here is an error
		// Every object's own digests are checked by whoever reads it, ranges too; the SDK would hash it once more.
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 64 // a restore reads many partitions at once
		})),
	}
	if region := query.Get("region"); region != "" {
		options = append(options, config.WithRegion(region))
	}
	if profile := query.Get("profile"); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	return options
}

const maxPut = 5 << 30 // S3's limit of a single PUT

// create is always one PUT. The server checks the bytes against the digest before the object is there, keeps the digest and
// tells it later; nothing is left behind by a try that breaks, as parts of a multipart upload would be.
func (b *s3Bucket) create(ctx context.Context, name string, body *summed, moved func()) error {
	if body.Size() > maxPut {
		return fmt.Errorf("object of %d bytes: S3 takes %d at once", body.Size(), int64(maxPut))
	}
	digest, err := body.digest()
	if err != nil {
		return err
	}
	in := &s3.PutObjectInput{
		Bucket: aws.String(b.name), Key: aws.String(b.key(name)), IfNoneMatch: aws.String("*"),
		Body:          &section{io.NewSectionReader(body, 0, body.Size()), moved},
		ContentLength: aws.Int64(body.Size()), ContentType: aws.String(contentType),
		ChecksumSHA256:       aws.String(base64.StdEncoding.EncodeToString(digest[:])),
		ServerSideEncryption: types.ServerSideEncryption(b.o.SSE),
		StorageClass:         types.StorageClass(b.o.StorageClass),
	}
	if b.o.KMSKeyID != "" {
		in.SSEKMSKeyId = aws.String(b.o.KMSKeyID)
	}
	if b.o.LockMode != "" {
		in.ObjectLockMode = types.ObjectLockMode(b.o.LockMode)
		in.ObjectLockRetainUntilDate = aws.Time(time.Now().AddDate(0, 0, b.o.LockDays))
	}
	out, err := b.client.PutObject(ctx, in, signWith(digest))
	if Classify(err) == Conflict {
		return fmt.Errorf("%w: %w", errExists, err)
	}
	if err == nil && out.ETag == nil {
		return fmt.Errorf("%w: no ETag", errForeign)
	}
	return err
}

// section is a body that the SDK can rewind.
type section struct {
	*io.SectionReader
	moved func()
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.SectionReader.Read(p)
	s.moved()
	return n, err
}

// WriteTo is hidden: the copy of net/http must come through Read.
func (s *section) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{s}) }

// signWith gives the signature the digest that is known, so that the SDK does not read the body to find it.
func signWith(digest [sha256.Size]byte) func(*s3.Options) {
	set := middleware.FinalizeMiddlewareFunc("KnownPayloadHash", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		return next.HandleFinalize(v4.SetPayloadHash(ctx, hex.EncodeToString(digest[:])), in)
	})
	return s3.WithAPIOptions(func(stack *middleware.Stack) error { return stack.Finalize.Add(set, middleware.Before) })
}

// open looks at what gocloud does not: whether this is an object, and the part of it that was asked for.
func (b *s3Bucket) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, int64, error) {
	r, err := b.NewRangeReader(ctx, b.key(name), offset, length, nil)
	if err != nil {
		return nil, 0, b.bucket.absent(ctx, name, err)
	}
	var out s3.GetObjectOutput
	switch {
	case !r.As(&out) || out.ETag == nil:
		err = fmt.Errorf("%w: no ETag", errForeign)
	case offset > 0 && out.ContentRange == nil:
		err = fmt.Errorf("%w: the whole object where a range was asked for", errForeign)
	}
	if err != nil {
		_ = r.Close() // it is not read
		return nil, 0, err
	}
	return r, r.Size(), nil
}

// page asks by itself: to the SDK a login page, or nothing at all, with a status of 200 is a listing without objects.
func (b *s3Bucket) page(ctx context.Context, prefix, after string, token []byte) ([]Info, []byte, error) {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(b.name), Prefix: aws.String(b.key(prefix)), MaxKeys: aws.Int32(pageSize)}
	switch {
	case token != nil:
		in.ContinuationToken = aws.String(string(token))
	case after != "":
		in.StartAfter = aws.String(b.key(after))
	}
	out, err := b.client.ListObjectsV2(ctx, in)
	switch {
	case err != nil:
		return nil, nil, err
	case out.Name == nil:
		return nil, nil, fmt.Errorf("%w: no listing of a bucket", errForeign)
	case aws.ToBool(out.IsTruncated) && aws.ToString(out.NextContinuationToken) == "":
		return nil, nil, fmt.Errorf("%w: more is said to follow, and not where", errForeign)
	}
	page := make([]Info, 0, len(out.Contents))
	for _, object := range out.Contents {
		name := strings.TrimPrefix(aws.ToString(object.Key), b.prefix)
		if CheckName(name) != nil {
			continue // not ours: folder marks, and what other programs keep there
		}
		page = append(page, Info{Name: name, Size: aws.ToInt64(object.Size), Modified: aws.ToTime(object.LastModified)})
	}
	if !aws.ToBool(out.IsTruncated) {
		return page, nil, nil
	}
	return page, []byte(*out.NextContinuationToken), nil
}

func (b *s3Bucket) head(ctx context.Context, name string, mode types.ChecksumMode) (*s3.HeadObjectOutput, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: aws.String(b.name), Key: aws.String(b.key(name)), ChecksumMode: mode,
	})
	if err != nil {
		return nil, b.absent(ctx, name, err)
	}
	if out.ETag == nil {
		return nil, fmt.Errorf("%w: no ETag", errForeign)
	}
	return out, nil
}

func (b *s3Bucket) stat(ctx context.Context, name string) (Info, error) {
	out, err := b.head(ctx, name, "")
	if err != nil {
		return Info{}, err
	}
	return Info{
		Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified),
		Retained: aws.ToTime(out.ObjectLockRetainUntilDate),
		Held:     out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn,
	}, nil
}

func (b *s3Bucket) digest(ctx context.Context, name string) (sum [sha256.Size]byte, ok bool, err error) {
	out, err := b.head(ctx, name, types.ChecksumModeEnabled)
	if err != nil {
		return sum, false, err
	}
	// A checksum of checksums, of an object written in parts, ends in the number of parts and so is not base64.
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(out.ChecksumSHA256))
	if err != nil || len(raw) != len(sum) {
		return sum, false, nil //nolint:nilerr // no digest of the whole object: it is read
	}
	return [sha256.Size]byte(raw), true, nil
}

// remove names the version: in a bucket with versions a delete without one only hides the object, and its bytes stay and
// cost.
func (b *s3Bucket) remove(ctx context.Context, name string) error {
	out, err := b.head(ctx, name, "")
	if err != nil {
		return err
	}
	_, err = b.client.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: aws.String(b.name), Key: aws.String(b.key(name)), VersionId: out.VersionId,
	})
	return err
}

// absent asks again where HEAD says 404: that answer has no body, and so does not tell a missing object from a missing
// bucket or from somebody else's 404.
func (b *s3Bucket) absent(ctx context.Context, name string, err error) error {
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &status) || status.HTTPStatusCode() != http.StatusNotFound {
		return err
	}
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(b.name), Key: aws.String(b.key(name)), Range: aws.String("bytes=0-0"),
	})
	if err == nil {
		out.Body.Close()
		return fmt.Errorf("%w: GET finds what HEAD did not", errUnsettled)
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchKey" {
		return fmt.Errorf("%w: %w", errMissing, err)
	}
	return err
}
