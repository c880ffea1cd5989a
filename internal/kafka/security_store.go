package kafka

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

// store is a keystore or truststore as the properties name it. The content is PEM text, or the bytes of a PKCS12 or JKS
// file, which are told apart by how they begin: keytool has written PKCS12 under the type JKS since Java 9, and Java reads both
// under either name.
type store struct {
	prefix   string // of the keys: ssl.keystore. or ssl.truststore.
	file     string // empty for PEM inline
	pem      bool
	content  []byte
	password func() string
}

// mostStore bounds what a store may hold: ten thousand certificates.
const mostStore = 16 << 20

// readStore reads what the properties name, nil when they name none.
func readStore(props map[string]string, prefix string, inline ...string) (*store, error) {
	kind := strings.ToUpper(strings.TrimSpace(props[prefix+"type"]))
	password := props[prefix+"password"]
	s := &store{prefix: prefix, file: strings.TrimSpace(props[prefix+"location"]), pem: kind == "PEM", password: func() string { return password }}
	var text []string
	for _, key := range inline {
		if strings.TrimSpace(props[key]) != "" {
			text = append(text, props[key])
		}
	}
	switch {
	case s.file == "" && len(text) == 0:
		return nil, nil
	case len(text) > 0 && !s.pem:
		return nil, fmt.Errorf("read %stype: %s stand in the properties, which is for type PEM: set %stype = PEM", prefix, strings.Join(inline, " and "), prefix)
	case len(text) > 0 && s.file != "":
		return nil, fmt.Errorf("read %slocation: set together with %s; Kafka takes one of them", prefix, strings.Join(inline, " and "))
	case len(text) > 0:
		s.content = []byte(linedPEM(strings.Join(text, "\n")))
		return s, nil
	}
	switch kind {
	case "", "JKS", "PKCS12", "PEM":
	default:
		return nil, fmt.Errorf("read %stype: %s is not supported; JKS, PKCS12 and PEM work (keytool -importkeystore -deststoretype PKCS12 converts)", prefix, kind)
	}
	var err error
	if s.content, err = readBounded(s.file); err != nil {
		return nil, fmt.Errorf("read %slocation: %w", prefix, err)
	}
	if s.pem {
		s.content = []byte(linedPEM(string(s.content)))
	} else if bytes.Contains(s.content, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("read %slocation: %s holds PEM: set %stype = PEM", prefix, s.file, prefix)
	}
	return s, nil
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, mostStore+1))
	if err == nil && len(content) > mostStore {
		err = fmt.Errorf("%s is larger than %d MiB", file, mostStore>>20)
	}
	return content, err
}

// fail names the store. The libraries' reasons hold no secrets: they know of bytes only.
func (s *store) fail(err error) error {
	name := strings.TrimSuffix(s.prefix, ".")
	if errors.Is(err, pkcs12.ErrIncorrectPassword) || errors.Is(err, pkcs12.ErrDecryption) || errors.Is(err, errJKSPassword) {
		return fmt.Errorf("read %slocation: %s.password does not open %s", s.prefix, name, s.file)
	}
	if s.file == "" {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return fmt.Errorf("read %s: %s: %w", name, s.file, err)
}

func (s *store) isJKS() bool {
	return len(s.content) >= 4 && binary.BigEndian.Uint32(s.content) == jksMagic
}

// trustedCertificates are those of the truststore, nil without one.
func trustedCertificates(props map[string]string) ([]*x509.Certificate, error) {
	s, err := readStore(props, "ssl.truststore.", "ssl.truststore.certificates")
	if err != nil || s == nil {
		return nil, err
	}
	var trusted []*x509.Certificate
	switch {
	case s.pem:
		trusted, err = certificatesOf(s.content)
	case s.isJKS():
		var j jks
		if j, err = parseJKS(s.content, s.password()); err == nil {
			trusted, err = x509.ParseCertificates(bytes.Join(j.trusted, nil))
		}
	default:
		trusted, err = pkcs12.DecodeTrustStore(s.content, s.password())
	}
	if err != nil {
		return nil, s.fail(err)
	}
	if len(trusted) == 0 {
		if s.pem {
			return nil, s.fail(errors.New("no certificate in it (expected PEM blocks of type CERTIFICATE)"))
		}
		return nil, s.fail(errors.New("no trusted certificate in it (keytool -importcert puts one there)"))
	}
	return trusted, nil
}

// certificatesOf are the certificates among PEM blocks.
func certificatesOf(text []byte) (all []*x509.Certificate, err error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, certificate)
	}
}

// clientCertificates are the certificate chains and keys that the client may show to the broker, none without a
// keystore. Of several the broker's list of authorities decides.
func clientCertificates(props map[string]string) ([]tls.Certificate, error) {
	s, err := readStore(props, "ssl.keystore.", "ssl.keystore.certificate.chain", "ssl.keystore.key")
	if err != nil || s == nil {
		return nil, err
	}
	if s.pem {
		certificate, err := pemCertificate(s.content, props["ssl.key.password"])
		if err != nil {
			return nil, s.fail(err)
		}
		return []tls.Certificate{certificate}, nil
	}
	if s.password() == "" {
		return nil, fmt.Errorf("read ssl.keystore.location: ssl.keystore.password is not set, which opens %s", s.file)
	}
	if s.isJKS() {
		return s.jksCertificates(props["ssl.key.password"])
	}
	key, leaf, others, err := pkcs12.DecodeChain(s.content, s.password())
	if err != nil {
		return nil, s.fail(err)
	}
	certificate, err := chained(key, append([]*x509.Certificate{leaf}, others...))
	if err != nil {
		return nil, s.fail(err)
	}
	return []tls.Certificate{certificate}, nil
}

func (s *store) jksCertificates(keyPassword string) (all []tls.Certificate, err error) {
	if keyPassword == "" {
		keyPassword = s.password() // as in Kafka
	}
	j, err := parseJKS(s.content, s.password())
	if err != nil {
		return nil, s.fail(err)
	}
	for _, k := range j.keys {
		der, err := k.open(keyPassword)
		if errors.Is(err, errJKSPassword) {
			return nil, fmt.Errorf("read ssl.keystore.location: ssl.key.password (or ssl.keystore.password, where it is not set) does not open the key %q of %s", k.alias, s.file)
		} else if err != nil {
			return nil, s.fail(err)
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, s.fail(fmt.Errorf("key %q: %w", k.alias, err))
		}
		certificates, err := x509.ParseCertificates(bytes.Join(k.chain, nil))
		if err != nil {
			return nil, s.fail(fmt.Errorf("certificate of %q: %w", k.alias, err))
		}
		certificate, err := chained(key, certificates)
		if err != nil {
			return nil, s.fail(err)
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, s.fail(errors.New("no private key in it"))
	}
	return all, nil
}

// chained orders certificates by who issued whom, from that of the key on. What does not belong to the chain, such as
// an authority that stands in the same file, is left out.
func chained(key any, certificates []*x509.Certificate) (tls.Certificate, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return tls.Certificate{}, fmt.Errorf("keys of type %T are not supported", key)
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return tls.Certificate{}, fmt.Errorf("keys of type %T are not supported", key)
	}
	chain := tls.Certificate{PrivateKey: key}
	var last *x509.Certificate
	for _, c := range certificates {
		if public.Equal(c.PublicKey) {
			last = c
			break
		}
	}
	if last == nil {
		return chain, errors.New("no certificate in it belongs to the private key")
	}
	chain.Leaf = last
	for last != nil && len(chain.Certificate) <= len(certificates) {
		chain.Certificate = append(chain.Certificate, last.Raw)
		last = issuer(last, certificates)
	}
	return chain, nil
}

// issuer is who signed a certificate, nil for one that signed itself or when nobody of them did.
func issuer(c *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	if bytes.Equal(c.RawIssuer, c.RawSubject) {
		return nil
	}
	for _, other := range among {
		if other != c && bytes.Equal(other.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(other) == nil {
			return other
		}
	}
	return nil
}

// pemCertificate reads chain and key, which stand together in any order. The key may be encrypted by PKCS#8.
func pemCertificate(text []byte, password string) (tls.Certificate, error) {
	certificates, err := certificatesOf(text)
	if err != nil {
		return tls.Certificate{}, err
	}
	if len(certificates) == 0 {
		return tls.Certificate{}, errors.New("no certificate in it (expected PEM blocks of type CERTIFICATE)")
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return tls.Certificate{}, errors.New("no private key in it (expected a PEM block of type PRIVATE KEY)")
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		key, err := pemKey(block, password)
		if err != nil {
			return tls.Certificate{}, err
		}
		return chained(key, certificates)
	}
}

func pemKey(block *pem.Block, password string) (any, error) {
	switch {
	case block.Headers["DEK-Info"] != "":
		return nil, errors.New("the key is encrypted in a way that Kafka does not read either; PKCS#8 works: openssl pkcs8 -topk8 -in key.pem -out new.pem")
	case block.Type == "ENCRYPTED PRIVATE KEY" && password == "":
		return nil, errors.New("the key is encrypted and ssl.key.password is not set")
	case block.Type == "ENCRYPTED PRIVATE KEY":
		key, err := pkcs8.ParsePKCS8PrivateKey(block.Bytes, []byte(password))
		if err != nil {
			return nil, errors.New("ssl.key.password does not open the key, or its encryption is not supported (openssl pkcs8 -topk8 -v2 aes-256-cbc works)")
		}
		return key, nil
	case block.Type == "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case block.Type == "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

// pemBlock is a PEM block whose body is nothing but base64 and blanks.
var pemBlock = regexp.MustCompile(`-----BEGIN ([^-]+)-----([A-Za-z0-9+/=\s]*)-----END [^-]+-----`)

// linedPEM gives every block its own lines. A properties file that continues a value over lines joins them with blanks or
// with nothing, which Kafka reads and Go's decoder does not.
func linedPEM(text string) string {
	return pemBlock.ReplaceAllStringFunc(text, func(block string) string {
		m := pemBlock.FindStringSubmatch(block)
		body := strings.Join(strings.Fields(m[2]), "")
		return "\n-----BEGIN " + m[1] + "-----\n" + body + "\n-----END " + m[1] + "-----\n"
	})
}
