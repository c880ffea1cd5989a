package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"cloud.google.com/go/storage"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const pageSize = 1000 // S3's limit

// bucket is what gocloud.dev serves: all of gs://, azblob:// and mem://, and of s3:// what s3Bucket does not do better.
type bucket struct {
	*blob.Bucket
	prefix string // "" or with a slash at the end
	scheme string
}

func (b *bucket) key(name string) string { return b.prefix + name }

func (b *bucket) create(ctx context.Context, name string, body *summed, moved func()) error {
	ctx, cancel := context.WithCancel(ctx) // a body that fails must not leave a shorter object
	defer cancel()
	from := progress{io.NewSectionReader(body, 0, body.Size()), moved}
	err := b.Upload(ctx, b.key(name), from, &blob.WriterOptions{ContentType: contentType, IfNotExist: true})
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return fmt.Errorf("%w: %w", errExists, err)
	}
	return err
}

const contentType = "application/octet-stream"

func (b *bucket) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, int64, error) {
	r, err := b.NewRangeReader(ctx, b.key(name), offset, length, nil)
	if err != nil {
		return nil, 0, b.absent(ctx, name, err)
	}
	return r, r.Size(), nil
}

// page has Google begin after a name. Azure and the memory begin at the prefix: the shell leaves out what is before.
func (b *bucket) page(ctx context.Context, prefix, after string, token []byte) ([]Info, []byte, error) {
	if token == nil {
		token = blob.FirstPageToken
	}
	o := &blob.ListOptions{Prefix: b.key(prefix), BeforeList: func(as func(any) bool) error {
		var google *storage.Query
		if after != "" && as(&google) {
			google.StartOffset = b.key(after) // with the name itself
		}
		return nil
	}}
	objects, next, err := b.ListPage(ctx, token, pageSize, o)
	if err != nil {
		return nil, nil, err
	}
	page := make([]Info, 0, len(objects))
	for _, object := range objects {
		name := strings.TrimPrefix(object.Key, b.prefix)
		if CheckName(name) != nil {
			continue // not ours: folder marks, and what other programs keep there
		}
		page = append(page, Info{Name: name, Size: object.Size, Modified: object.ModTime})
	}
	if len(next) == 0 {
		next = nil
	}
	return page, next, nil
}

func (b *bucket) stat(ctx context.Context, name string) (Info, error) {
	attrs, err := b.Attributes(ctx, b.key(name))
	if err != nil {
		return Info{}, b.absent(ctx, name, err)
	}
	info := Info{Size: attrs.Size, Modified: attrs.ModTime}
	var google storage.ObjectAttrs
	var azure azblob.GetPropertiesResponse
	switch {
	case attrs.As(&google):
		info.Retained = google.RetentionExpirationTime
		info.Held = google.TemporaryHold || google.EventBasedHold
		if google.Retention != nil && google.Retention.RetainUntil.After(info.Retained) {
			info.Retained = google.Retention.RetainUntil
		}
	case attrs.As(&azure):
		if azure.ImmutabilityPolicyExpiresOn != nil {
			info.Retained = *azure.ImmutabilityPolicyExpiresOn
		}
		info.Held = azure.LegalHold != nil && *azure.LegalHold
	}
	return info, nil
}

func (b *bucket) remove(ctx context.Context, name string) error {
	if err := b.Delete(ctx, b.key(name)); err != nil {
		return b.absent(ctx, name, err)
	}
	return nil
}

func (b *bucket) digest(context.Context, string) (sum [sha256.Size]byte, ok bool, err error) {
	return sum, false, nil
}

func (b *bucket) close() error { return b.Close() }

// absent returns errMissing when err proves that the object is not there. gocloud's own code does not: it calls a missing
// bucket NotFound too.
func (b *bucket) absent(ctx context.Context, name string, err error) error {
	if gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	switch b.scheme {
	case "mem":
		return fmt.Errorf("%w: %w", errMissing, err)
	case "gs":
		// Google answers 404 with no more than that; a listing fails when it is the bucket that is missing.
		if errors.Is(err, storage.ErrObjectNotExist) {
			return b.unlisted(ctx, name, err)
		}
	}
	return err // S3 and Azure name what is missing: Classify reads it
}

func (b *bucket) unlisted(ctx context.Context, name string, err error) error {
	_, _, listed := b.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: b.key(name)})
	if listed != nil {
		return fmt.Errorf("%w; then list: %w", errors.New(err.Error()), listed)
	}
	return fmt.Errorf("%w: %w", errMissing, err)
}
