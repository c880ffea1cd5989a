package keys

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// parameters are the known ones of each scheme. What could hold a credential is not among them.
var parameters = map[string][]string{
	"file":          nil,
	"awskms":        {"region", "endpoint", "profile", "role", "dualstack", "fips"}, // and context_NAME
	"gcpkms":        {"additional_authenticated_data"},
	"azurekeyvault": {"algorithm"},
	"hashivault":    {"engine"},
}

func setting(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrSetting)
}

func open(ctx context.Context, raw string) (held, error) {
	u, err := parse(raw)
	if err != nil {
		return held{}, err
	}
	if u.Scheme == "file" {
		return openFile(u)
	}
	return openService(ctx, u)
}

// parse refuses what may hold a secret before anything can repeat it: url.Parse puts the whole URL into its errors.
func parse(raw string) (*url.URL, error) {
	scheme, _, _ := strings.Cut(raw, ":")
	if scheme == "base64key" {
		return nil, setting("base64key:// holds the key itself, and settings are read by many: put it into a file (archive keys new PATH)")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, setting("not a URL") // without err: it repeats what was given
	}
	known, ok := parameters[u.Scheme]
	if !ok {
		return nil, setting("a URL of awskms://, gcpkms://, azurekeyvault://, hashivault:// or file:///PATH is wanted")
	}
	if u.User != nil {
		return nil, setting("no user or password in %s://: credentials come from where the service's own SDK finds them", u.Scheme)
	}
	if u.Fragment != "" || u.Opaque != "" || strings.Trim(u.Host+u.Path, "/") == "" {
		return nil, setting("%s:// wants a key behind it, and nothing behind the parameters", u.Scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, setting("parameters of %s:// do not parse", u.Scheme)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) && !(u.Scheme == "awskms" && strings.HasPrefix(name, "context_")) {
			return nil, setting("unknown parameter %q of %s://", name, u.Scheme)
		}
		if len(query[name]) != 1 {
			return nil, setting("parameter %q is given %d times", name, len(query[name]))
		}
		if at, err := url.Parse(query.Get(name)); name == "endpoint" && (err != nil || at.User != nil) {
			return nil, setting("endpoint is not a URL without user and password")
		}
	}
	return u, nil
}

// plain is a URL without its parameters.
func plain(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
