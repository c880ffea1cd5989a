package keys

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"tandem/internal/archive/bundle"
)

// A key file is text:
//
//	# Tandem archive key 1 ...      first line, up to the version; the rest of it is for people
//	44 letters                      base64 of 32 random bytes
//
// A data key that it wraps, AES-256-GCM, bound to the aad:
//
//	INT8      1
//	12 bytes  nonce, at random: 2^32 bundles may share a key
//	48 bytes  the data key, encrypted, and the tag
const (
	fileHead  = "# Tandem archive key 1"
	fileLimit = 4 << 10
	wrapForm  = 1

	idLabel  = "tandem archive key id 1\n"
	aadLabel = "tandem data key 1\n"
)

// fileKey is a key that was read from a file.
type fileKey struct{ aead cipher.AEAD }

func openFile(u *url.URL) (held, error) {
	if u.Host != "" && u.Host != "localhost" {
		return held{}, setting("file://%s: want file:///PATH", u.Host)
	}
	path := filepath.FromSlash(u.Path)
	key, err := readFile(path)
	if err != nil {
		return held{}, err
	}
	defer clear(key)
	k, err := newFileKey(key)
	if err != nil {
		return held{}, err
	}
	return held{Key: Key{URL: plain(u), ID: fileID(key)}, wrapper: k}, nil
}

func newFileKey(key []byte) (*fileKey, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &fileKey{aead: aead}, err
}

// fileID is a hash of the key under a label of its own, too short to find anything by.
func fileID(key []byte) string {
	sum := sha256.Sum256(append([]byte(idLabel), key...))
	return "file:" + hex.EncodeToString(sum[:8])
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrSetting)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, setting("%s is not a file", path)
	}
	// The group may read: that is how an orchestrator hands a secret to a process.
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o027 != 0 {
		return nil, setting("%s has mode %04o: others can read or write the key; chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer clear(text)
	key, ok := parseFile(text)
	if !ok {
		return nil, setting("%s is not a key that archive keys new has made", path)
	}
	return key, nil
}

func parseFile(text []byte) ([]byte, bool) {
	head, rest, ok := bytes.Cut(text, []byte("\n"))
	words := bytes.TrimSuffix(head, []byte("\r"))
	if !ok || len(text) > fileLimit || !bytes.HasPrefix(words, []byte(fileHead)) {
		return nil, false
	}
	if words = words[len(fileHead):]; len(words) > 0 && words[0] != ' ' && words[0] != ';' {
		return nil, false // another version
	}
	rest = bytes.TrimSpace(rest)
	key := make([]byte, base64.StdEncoding.DecodedLen(len(rest)))
	n, err := base64.StdEncoding.Strict().Decode(key, rest)
	return key[:n], err == nil && n == dataKeySize
}

// New makes a key file that only its owner can read. A file that is there is never written over.
func New(path string) (Key, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return Key{}, err
	}
	key := make([]byte, dataKeySize)
	defer clear(key)
	if _, err := rand.Read(key); err != nil {
		return Key{}, err
	}
	id := fileID(key)
	text := fmt.Sprintf("%s; id %s. Keep a copy away from the archive: what it encrypted cannot be read without it.\n%s\n",
		fileHead, id, base64.StdEncoding.EncodeToString(key))
	if err := writeFile(absolute, text); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return Key{}, setting("%s is there already, and a key is never written over", path)
		}
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	return Key{URL: u.String(), ID: id}, nil
}

// writeFile leaves the whole file on the disk, or none: half a key would be found out when it is too late.
func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func (k *fileKey) wrap(_ context.Context, key, aad []byte) ([]byte, error) {
	out := make([]byte, 1+k.aead.NonceSize(), 1+k.aead.NonceSize()+len(key)+k.aead.Overhead())
	out[0] = wrapForm
	if _, err := rand.Read(out[1:]); err != nil {
		return nil, err
	}
	return k.aead.Seal(out, out[1:], key, append([]byte(aadLabel), aad...)), nil
}

func (k *fileKey) unwrap(_ context.Context, wrapped, aad []byte) ([]byte, error) {
	n := 1 + k.aead.NonceSize()
	if len(wrapped) < n || wrapped[0] != wrapForm {
		return nil, fmt.Errorf("a wrapped key of %d bytes in a form that is not known: %w", len(wrapped), bundle.ErrKey)
	}
	key, err := k.aead.Open(nil, wrapped[1:n], wrapped[n:], append([]byte(aadLabel), aad...))
	if err != nil {
		return nil, fmt.Errorf("the wrapped key was changed, or belongs to another bundle: %w", bundle.ErrKey)
	}
	return key, nil
}

func (k *fileKey) close() error { return nil }
