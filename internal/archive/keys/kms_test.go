package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"tandem/internal/archive/bundle"
)

// fakeService answers as AWS KMS and as Vault's transit engine do, of keys that it tells apart by name. What it wraps is readable: it is
// not about its cryptography.
type fakeService struct {
	*httptest.Server
	calls atomic.Int64
	away  atomic.Bool
}

func newService(t *testing.T) *fakeService {
	t.Helper()
	s := &fakeService{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil || s.away.Load() {
			w.WriteHeader(http.StatusForbidden) // of other errors the drivers try again for seconds
			return
		}
		if target := r.Header.Get("X-Amz-Target"); target != "" {
			s.aws(w, target, body)
		} else {
			s.vault(w, strings.TrimPrefix(r.URL.Path, "/v1/transit/"), body)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *fakeService) aws(w http.ResponseWriter, target string, body []byte) {
	var in struct {
		KeyID                     string `json:"KeyId"`
		Plaintext, CiphertextBlob []byte
	}
	_ = json.Unmarshal(body, &in)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if strings.HasSuffix(target, ".Encrypt") {
		_ = json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": append([]byte("wrapped:"), in.Plaintext...)})
		return
	}
	plain, ok := bytes.CutPrefix(in.CiphertextBlob, []byte("wrapped:"))
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "InvalidCiphertextException"})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain})
}

func (s *fakeService) vault(w http.ResponseWriter, path string, body []byte) {
	var in struct{ Plaintext, Ciphertext string }
	_ = json.Unmarshal(body, &in)
	if strings.HasPrefix(path, "encrypt/") {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"ciphertext": "vault:v1:" + in.Plaintext}})
		return
	}
	plain, ok := strings.CutPrefix(in.Ciphertext, "vault:v1:")
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{"invalid ciphertext: no prefix"}})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]string{"plaintext": plain}})
}

// TestServices goes through the drivers themselves. All of Vault is in one test: its driver reads the environment once in a process.
func TestServices(t *testing.T) {
	s := newService(t)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hidden-secret", "AWS_CONFIG_FILE": "/nowhere", "AWS_MAX_ATTEMPTS": "1",
		"VAULT_ADDR": s.URL, "VAULT_TOKEN": "hidden-token", "VAULT_MAX_RETRIES": "0",
	} {
		t.Setenv(name, value)
	}
	aws := "awskms:///arn:aws:kms:eu-central-1:1:key/k?region=eu-central-1&endpoint=" + url.QueryEscape(s.URL)
	for _, c := range []struct{ url, id string }{
		{aws, "awskms:///arn:aws:kms:eu-central-1:1:key/k"},
		{"hashivault://archive", "hashivault://archive"},
	} {
		t.Run(c.id[:6], func(t *testing.T) {
			wrapped, id, err := openRing(t, c.url).Wrap(t.Context(), dataKey, []byte("bundle 1"))
			if err != nil || id != c.id {
				t.Fatalf("%q, %v", id, err)
			}
			r := openRing(t, newKey(t).URL, c.url)
			before := s.calls.Load()
			for range 3 {
				if got, err := r.Unwrap(t.Context(), id, wrapped, []byte("bundle 1")); err != nil || !bytes.Equal(got, dataKey) {
					t.Fatalf("%x, %v", got, err)
				}
			}
			if n := s.calls.Load() - before; n != 1 {
				t.Errorf("the service was asked %d times for one data key", n)
			}
			if _, err := r.Unwrap(t.Context(), id, wrapped, []byte("bundle 2")); !errors.Is(err, bundle.ErrKey) {
				t.Errorf("for another bundle: %v", err)
			}
			if _, err := r.Unwrap(t.Context(), id, []byte("of another key"), []byte("bundle 1")); !errors.Is(err, bundle.ErrKey) {
				t.Errorf("what it did not wrap: %v", err)
			}
			other := openRing(t, c.url)
			s.away.Store(true)
			defer s.away.Store(false)
			ctx := t.Context()
			if _, err := other.Unwrap(ctx, id, wrapped, []byte("bundle 1")); err == nil || errors.Is(err, bundle.ErrKey) {
				t.Errorf("a service that is away: %v", err)
			} else if strings.Contains(err.Error(), "hidden-") || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(dataKey)[:10]) {
				t.Errorf("a secret is shown: %v", err)
			}
			if _, err := r.Unwrap(ctx, id, wrapped, []byte("bundle 1")); err != nil {
				t.Errorf("what is remembered needs no service: %v", err)
			}
		})
	}
}

// TestTwoReplicasOfOneKey have one id; either opens what the other wrapped, and one that is away is no wrong key.
func TestTwoReplicasOfOneKey(t *testing.T) {
	near, far := newService(t), newService(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	at := func(s *fakeService) string {
		return "awskms://alias/archive?region=r&endpoint=" + url.QueryEscape(s.URL)
	}
	wrapped, id, err := openRing(t, at(near)).Wrap(t.Context(), dataKey, []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	near.away.Store(true)
	if _, err := openRing(t, at(near), at(far)).Unwrap(t.Context(), id, wrapped, []byte("a")); err != nil {
		t.Errorf("the other one is there: %v", err)
	}
	_, err = openRing(t, at(far), at(near)).Unwrap(t.Context(), id, []byte("odd"), []byte("a"))
	if err == nil || errors.Is(err, bundle.ErrKey) {
		t.Errorf("one refuses, the other is away: %v", err)
	}
}
