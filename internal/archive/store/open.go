package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/memblob"   // mem://
)

// Options are the settings beside the URL. The zero value is usable.
type Options struct {
	S3 S3Options
	// Patience is how long an operation is tried again after its first error; 0 means DefaultPatience, negative not at all.
	Patience time.Duration
	// Idle ends a try that moves no byte for so long; 0 means DefaultIdle.
	Idle time.Duration
	// Retried is told of each error after which the operation is tried again. It must not block. Nil is nobody.
	Retried func(Retry)
}

// The defaults of Options. Both are far above what a store that works needs.
const (
	DefaultPatience = 2 * time.Minute
	DefaultIdle     = 30 * time.Second
)

// Retry is an error that passes, and what is done about it.
type Retry struct {
	Err *Error
	Try int           // 1 for the first error of the operation
	In  time.Duration // until the next try
}

// Open makes the store of an archive.url. It asks nothing of the store yet, but for a folder, which must exist.
//
//	s3://BUCKET/PREFIX?region=R&endpoint=URL&use_path_style=true&profile=P
//	file:///DIR
//	gs://BUCKET/PREFIX
//	azblob://CONTAINER/PREFIX?storage_account=A&domain=D&protocol=https&localemu=false
//	mem://                    a new, empty one each time: for tests
//
// Path style is the default where an endpoint is given. Credentials are found by the SDK of each store: environment, files,
// instance roles. A URL that holds any is refused, and no error repeats one.
func Open(ctx context.Context, rawURL string, o Options) (Store, error) {
	b, err := open(ctx, rawURL, o)
	if err != nil {
		return nil, &Error{Op: "open", Kind: classifyOpen(err), Err: err}
	}
	return newShell(b, o), nil
}

// classifyOpen: whatever hinders the opening of a store, a person has to change a setting, or the rights of a folder.
func classifyOpen(err error) Kind {
	if kind := Classify(err); kind == AccessDenied {
		return kind
	}
	return Settings
}

func open(ctx context.Context, rawURL string, o Options) (backend, error) {
	u, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "s3" && o.S3 != (S3Options{}) {
		return nil, fmt.Errorf("archive.s3.* is set, but archive.url is %s://", u.Scheme)
	}
	if u.Scheme == "file" {
		return openFolder(u)
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		if err := CheckName(prefix); err != nil {
			return nil, fmt.Errorf("prefix: %w", err)
		}
		prefix += "/"
	}
	switch u.Scheme {
	case "s3":
		return openS3(ctx, u, prefix, o.S3)
	case "gs", "azblob", "mem":
		return openBucket(ctx, u, prefix)
	default:
		return nil, fmt.Errorf("unknown scheme %q: s3, file, gs or azblob", u.Scheme)
	}
}

// parameters are the known ones of each scheme.
var parameters = map[string][]string{
	"s3":     {"region", "endpoint", "use_path_style", "profile"},
	"azblob": {"storage_account", "domain", "protocol", "localemu"},
}

// parse refuses what may hold a secret before anything can repeat it: url.Parse puts the whole URL into its errors.
func parse(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL") // without err: it repeats what was given
	}
	if u.User != nil {
		return nil, errors.New("no user or password here: credentials come from the SDK's own chain (environment, files, roles)")
	}
	if u.Fragment != "" || u.Opaque != "" {
		return nil, errors.New("want SCHEME://BUCKET/PREFIX")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("parameters do not parse")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(parameters[u.Scheme], name) {
			return nil, fmt.Errorf("unknown parameter %q of %s://", name, u.Scheme)
		}
		if len(query[name]) != 1 {
			return nil, fmt.Errorf("parameter %q is given %d times", name, len(query[name]))
		}
	}
	return u, nil
}

func openBucket(ctx context.Context, u *url.URL, prefix string) (backend, error) {
	if u.Host == "" && u.Scheme != "mem" {
		return nil, fmt.Errorf("%s:// needs a bucket", u.Scheme)
	}
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: u.RawQuery}
	b, err := blob.OpenBucket(ctx, plain.String())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", u.Host, err)
	}
	return &bucket{Bucket: b, prefix: prefix, scheme: u.Scheme}, nil
}
