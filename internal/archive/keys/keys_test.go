package keys

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/internal/archive/bundle"
)

var dataKey = bytes.Repeat([]byte{7}, dataKeySize)

func newKey(t *testing.T) Key {
	t.Helper()
	k, err := New(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func openRing(t *testing.T, urls ...string) *Ring {
	t.Helper()
	r, err := Open(t.Context(), urls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestAKeyIsRotated(t *testing.T) {
	first, second := newKey(t), newKey(t)
	before := openRing(t, first.URL)
	wrapped, id, err := before.Wrap(t.Context(), dataKey, []byte("a"))
	if err != nil || id != first.ID {
		t.Fatalf("%q, %v", id, err)
	}
	after := openRing(t, second.URL, first.URL)
	if got, err := after.Unwrap(t.Context(), id, wrapped, []byte("a")); err != nil || !bytes.Equal(got, dataKey) {
		t.Errorf("with both keys: %x, %v", got, err)
	}
	if _, id, err := after.Wrap(t.Context(), dataKey, []byte("b")); err != nil || id != second.ID {
		t.Errorf("the one in front wraps: %q, %v", id, err)
	}
	_, err = openRing(t, second.URL).Unwrap(t.Context(), id, wrapped, []byte("a"))
	if !errors.Is(err, bundle.ErrKey) || !strings.Contains(err.Error(), second.ID) {
		t.Errorf("without the old key: %v", err)
	}
}

func TestAWrappedKeyIsBound(t *testing.T) {
	k := newKey(t)
	r := openRing(t, k.URL)
	wrapped, id, err := r.Wrap(t.Context(), dataKey, []byte("bundle 1"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, dataKey[:8]) {
		t.Error("the data key stands there")
	}
	for i := range wrapped {
		other := bytes.Clone(wrapped)
		other[i] ^= 1
		if _, err := r.Unwrap(t.Context(), id, other, []byte("bundle 1")); !errors.Is(err, bundle.ErrKey) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := r.Unwrap(t.Context(), id, wrapped[:i], []byte("bundle 1")); !errors.Is(err, bundle.ErrKey) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	for range 2 { // not from what is remembered either
		if _, err := r.Unwrap(t.Context(), id, wrapped, []byte("bundle 2")); !errors.Is(err, bundle.ErrKey) {
			t.Errorf("for another bundle: %v", err)
		}
		if got, err := r.Unwrap(t.Context(), id, wrapped, []byte("bundle 1")); err != nil || !bytes.Equal(got, dataKey) {
			t.Errorf("for its own: %v", err)
		}
	}
	got, _ := r.Unwrap(t.Context(), id, wrapped, []byte("bundle 1"))
	clear(got) // whoever has a key may do with it as he likes
	if again, err := r.Unwrap(t.Context(), id, wrapped, []byte("bundle 1")); err != nil || !bytes.Equal(again, dataKey) {
		t.Errorf("%x, %v", again, err)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	good := func() string {
		k := newKey(t)
		text, err := os.ReadFile(strings.TrimPrefix(k.URL, "file://"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}()
	_, secret, _ := strings.Cut(good, "\n")
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string // empty: it opens
	}{
		{"as it was made", good, 0o600, ""},
		{"read only", good, 0o400, ""},
		{"handed to a group", good, 0o640, ""},
		{"with line ends of another system", strings.ReplaceAll(good, "\n", "\r\n"), 0o600, ""},
		{"everybody reads", good, 0o644, "chmod 600"},
		{"the group writes", good, 0o660, "chmod 600"},
		{"empty", "", 0o600, "is not a key"},
		{"without the first line", secret, 0o600, "is not a key"},
		{"of a newer version", strings.Replace(good, "key 1", "key 12", 1), 0o600, "is not a key"},
		{"cut off", good[:len(good)-5], 0o600, "is not a key"},
		{"too long", good + secret, 0o600, "is not a key"},
		{"large", good + strings.Repeat(" ", fileLimit), 0o600, "is not a key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-"))
			if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
			r, err := Open(t.Context(), []string{"file://" + path})
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				r.Close()
				return
			}
			if !errors.Is(err, ErrSetting) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			} else if strings.Contains(err.Error(), strings.TrimSpace(secret)[:10]) {
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
	if _, err := New(filepath.Join(dir, "empty")); !errors.Is(err, ErrSetting) {
		t.Errorf("written over a file: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "empty")); err != nil || len(text) != 0 {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWhatIsNoKey(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"", "awskms://"},
		{"::", "not a URL"},
		{"http://host/key", "awskms://"},
		{"base64key://c2VjcmV0c2VjcmV0", "archive keys new"},
		{"awskms://", "wants a key"},
		{"awskms://user:secret@alias/a", "no user or password"},
		{"awskms://alias/a?secret=secret", "unknown parameter"},
		{"awskms://alias/a?region=a&region=secret", "2 times"},
		{"awskms://alias/a?endpoint=http://user:secret@host", "endpoint"},
		{"hashivault://key?token=secret", "unknown parameter"},
		{"gcpkms://projects/p?credentials=secret", "unknown parameter"},
		{"azurekeyvault://v.vault.azure.net/keys/name", "with the version"},
		{"file://other/path", "file:///PATH"},
		{"file:///nowhere/at/all", "no such file"},
		{"file:///tmp?key=secret", "unknown parameter"},
		{"file:///tmp", "is not a file"},
	} {
		if _, err := Open(t.Context(), []string{c.url}); !errors.Is(err, ErrSetting) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.url, err)
		} else if strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), "=secret") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("a secret is shown: %v", err)
		}
	}
	if _, err := Open(t.Context(), nil); !errors.Is(err, ErrSetting) {
		t.Errorf("no key: %v", err)
	}
}
