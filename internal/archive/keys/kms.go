package keys

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	vault "github.com/hashicorp/vault/api"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"        // awskms://
	_ "gocloud.dev/secrets/azurekeyvault" // azurekeyvault://
	_ "gocloud.dev/secrets/gcpkms"        // gcpkms://
	_ "gocloud.dev/secrets/hashivault"    // hashivault://

	"tandem/internal/archive/bundle"
)

// What is given to a service to encrypt; its API has no place for the aad:
//
//	INT8      1
//	32 bytes  SHA-256 of the aad
//	32 bytes  the data key
const sealedSize = 1 + sha256.Size + dataKeySize

// service is a key that a key management service keeps.
type service struct{ keeper *secrets.Keeper }

func openService(ctx context.Context, u *url.URL) (held, error) {
	at := plain(u)
	full := *u
	switch u.Scheme {
	case "azurekeyvault":
		// Without a version the service decrypts with the newest one, and nothing old opens once there is a newer.
		if parts := strings.Split(strings.Trim(u.Path, "/"), "/"); len(parts) != 3 || parts[0] != "keys" {
			return held{}, setting("%s: want azurekeyvault://VAULT.vault.azure.net/keys/NAME/VERSION, with the version", at)
		}
	case "hashivault":
		// The driver keeps the engine of one URL for the next that names none.
		query := u.Query()
		if query.Get("engine") == "" {
			query.Set("engine", "transit")
			full.RawQuery = query.Encode()
		}
	}
	k, err := secrets.OpenKeeper(ctx, full.String())
	if err != nil {
		return held{}, fmt.Errorf("open %s: %w: %w", at, hidden{err, full.RawQuery}, ErrSetting)
	}
	return held{Key: Key{URL: at, ID: at}, wrapper: &service{k}}, nil
}

// hidden is an error without the parameters of a URL, which drivers repeat.
type hidden struct {
	error
	query string
}

func (h hidden) Error() string {
	if h.query == "" {
		return h.error.Error()
	}
	return strings.ReplaceAll(h.error.Error(), h.query, "...")
}

func (s *service) wrap(ctx context.Context, key, aad []byte) ([]byte, error) {
	if len(key) != dataKeySize {
		return nil, fmt.Errorf("a data key of %d bytes", len(key))
	}
	sum := sha256.Sum256(aad)
	sealed := make([]byte, 0, sealedSize)
	sealed = append(sealed, wrapForm)
	sealed = append(sealed, sum[:]...)
	sealed = append(sealed, key...)
	defer clear(sealed)
	return s.keeper.Encrypt(ctx, sealed)
}

func (s *service) unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error) {
	sealed, err := s.keeper.Decrypt(ctx, wrapped)
	if err != nil {
		if s.refused(err) {
			return nil, fmt.Errorf("%w: %w", err, bundle.ErrKey)
		}
		return nil, err
	}
	defer clear(sealed)
	sum := sha256.Sum256(aad)
	switch {
	case len(sealed) != sealedSize || sealed[0] != wrapForm:
		return nil, fmt.Errorf("%d bytes were wrapped, in a form that is not known: %w", len(sealed), bundle.ErrKey)
	case subtle.ConstantTimeCompare(sealed[1:1+sha256.Size], sum[:]) != 1:
		return nil, fmt.Errorf("the wrapped key belongs to another bundle: %w", bundle.ErrKey)
	}
	return append([]byte(nil), sealed[1+sha256.Size:]...), nil
}

// refused says that the service has looked, and that this key does not open it. Missing rights, a key that is switched off, and a
// service that is away may pass.
func (s *service) refused(err error) bool {
	//nolint:exhaustive // all others may pass
	switch gcerrors.Code(err) {
	case gcerrors.InvalidArgument, gcerrors.NotFound:
		return true
	}
	var answer *vault.ResponseError
	return (errors.As(err, &answer) || s.keeper.ErrorAs(err, &answer)) && answer.StatusCode == http.StatusBadRequest
}

func (s *service) close() error { return s.keeper.Close() }
