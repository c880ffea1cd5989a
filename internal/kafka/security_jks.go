package kafka

import (
	"bytes"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// A JKS file, all numbers big-endian:
//
//	magic u32 = feedfeed | version u32 = 1 or 2 | entries u32
//	entry:  tag u32 = 1 (key) or 2 (trusted) | alias, u16 length and bytes | created u64
//	        key:      u32 length and EncryptedPrivateKeyInfo | u32 certificates | certificate...
//	        trusted:  certificate
//	certificate:  type, u16 length and bytes (not in version 1) | u32 length and DER
//	at the end:   SHA-1 (20 bytes) of the password in UTF-16, "Mighty Aphrodite" and all before
//
// The encrypted key of an EncryptedPrivateKeyInfo of Sun's own algorithm:
//
//	salt, 20 bytes | key XOR stream | SHA-1 (20 bytes) of the password in UTF-16 and the key
//
// where the stream is w1 w2 ..., w0 the salt and each next one the SHA-1 of the password and the one before.
const (
	jksMagic    = 0xfeedfeed
	jksWhitener = "Mighty Aphrodite"
)

var (
	errJKSPassword = errors.New("the password is wrong, or the file is damaged")
	errJKSShort    = errors.New("the file ends too early")
	jksProtection  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}
)

// jks is what a JKS file holds.
type jks struct {
	keys    []jksKey
	trusted [][]byte // DER
}

type jksKey struct {
	alias     string
	protected []byte
	chain     [][]byte // DER
}

// parseJKS reads a JKS file. Without a password its digest is not checked, as in Java.
func parseJKS(content []byte, password string) (jks, error) {
	if len(content) < sha1.Size {
		return jks{}, errJKSShort
	}
	body, digest := content[:len(content)-sha1.Size], content[len(content)-sha1.Size:]
	r := jksReader{rest: body}
	if r.number() != jksMagic {
		return jks{}, errors.New("this is no JKS file")
	}
	version, entries := r.number(), r.number()
	if r.err == nil && version != 1 && version != 2 {
		return jks{}, fmt.Errorf("version %d of JKS is not known", version)
	}
	r.typed = version == 2
	var all jks
	for range entries { // each takes bytes of the file, so a wrong count ends by itself
		tag, alias := r.number(), string(r.short())
		r.take(8)
		switch {
		case r.err != nil:
			return jks{}, r.err
		case tag == 1:
			key := jksKey{alias: alias, protected: r.long()}
			for range r.number() {
				key.chain = append(key.chain, r.certificate())
				if r.err != nil {
					return jks{}, r.err
				}
			}
			all.keys = append(all.keys, key)
		case tag == 2:
			all.trusted = append(all.trusted, r.certificate())
		default:
			return jks{}, fmt.Errorf("entries of kind %d are not known", tag)
		}
	}
	if r.err != nil {
		return jks{}, r.err
	}
	if password != "" {
		h := sha1.New()
		h.Write(javaBytes(password))
		h.Write([]byte(jksWhitener))
		h.Write(body)
		if subtle.ConstantTimeCompare(h.Sum(nil), digest) != 1 {
			return jks{}, errJKSPassword
		}
	}
	return all, nil
}

// open decrypts a key to PKCS#8.
func (k jksKey) open(password string) ([]byte, error) {
	var info struct {
		Algorithm struct {
			ID         asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Data []byte
	}
	if _, err := asn1.Unmarshal(k.protected, &info); err != nil {
		return nil, fmt.Errorf("key %q: %w", k.alias, err)
	}
	if !info.Algorithm.ID.Equal(jksProtection) {
		return nil, fmt.Errorf("key %q: encryption %v is not known", k.alias, info.Algorithm.ID)
	}
	if len(info.Data) < 2*sha1.Size {
		return nil, fmt.Errorf("key %q: %w", k.alias, errJKSShort)
	}
	secret, n := javaBytes(password), len(info.Data)-sha1.Size
	word, plain := info.Data[:sha1.Size], bytes.Clone(info.Data[sha1.Size:n])
	for at := 0; at < len(plain); at += sha1.Size {
		next := sha1.Sum(append(bytes.Clone(secret), word...))
		word = next[:]
		part := plain[at:min(at+sha1.Size, len(plain))]
		subtle.XORBytes(part, part, word)
	}
	if check := sha1.Sum(append(secret, plain...)); subtle.ConstantTimeCompare(check[:], info.Data[n:]) != 1 {
		return nil, errJKSPassword
	}
	return plain, nil
}

// javaBytes is a password as Java hashes it.
func javaBytes(password string) []byte {
	var all []byte
	for _, unit := range utf16.Encode([]rune(password)) {
		all = binary.BigEndian.AppendUint16(all, unit)
	}
	return all
}

// jksReader cuts a file into its parts, which share its memory. After an error all that it reads is empty.
type jksReader struct {
	rest  []byte
	typed bool // certificates carry their type
	err   error
}

func (r *jksReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.err = nil, errJKSShort
		return nil
	}
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *jksReader) number() uint32 {
	if b := r.take(4); len(b) == 4 {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *jksReader) short() []byte {
	if b := r.take(2); len(b) == 2 {
		return r.take(uint64(binary.BigEndian.Uint16(b)))
	}
	return nil
}

func (r *jksReader) long() []byte { return r.take(uint64(r.number())) }

func (r *jksReader) certificate() []byte {
	if r.typed {
		r.short()
	}
	return r.long()
}
