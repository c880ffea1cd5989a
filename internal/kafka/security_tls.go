package kafka

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// stores are the ssl.* keys of one set of properties, and what their files held when they were last read. A file that has
// changed is read again when the next connection is made.
type stores struct {
	props func() map[string]string // behind a function for the passwords
	tell  func(Renewal)

	mu   sync.Mutex
	held held
	seen map[string]os.FileInfo // of each file, when it was last read, well or not
}

// held is what was read from the stores. It is never changed, only replaced.
type held struct {
	conf         *tls.Config
	certificates []CertificateInfo // our own first
}

// openStores reads the stores of the ssl.* keys.
func openStores(props map[string]string) (*stores, error) {
	props = maps.Clone(props)
	s := &stores{props: func() map[string]string { return props }, seen: make(map[string]os.FileInfo)}
	s.changed()
	var err error
	s.held, err = parseTLS(props)
	return s, err
}

// current is what a connection that is made now uses.
func (s *stores) current() held {
	s.mu.Lock()
	changed := s.changed()
	if len(changed) == 0 {
		defer s.mu.Unlock()
		return s.held
	}
	anew, err := parseTLS(s.props())
	if err == nil {
		s.held = anew
	}
	use := s.held
	s.mu.Unlock()
	for _, file := range changed {
		if s.tell != nil {
			s.tell(Renewal{File: file, Err: err})
		}
	}
	return use
}

// changed lists the files that are not what they were when they were last looked at. One that is away for a moment, while
// it is being replaced, has not changed.
func (s *stores) changed() []string {
	var changed []string
	for _, key := range []string{"ssl.keystore.location", "ssl.truststore.location"} {
		file := strings.TrimSpace(s.props()[key])
		if file == "" || slices.Contains(changed, file) {
			continue
		}
		now, err := os.Stat(file)
		if err != nil {
			continue
		}
		before := s.seen[file]
		if before != nil && os.SameFile(before, now) && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime()) {
			continue
		}
		s.seen[file] = now
		changed = append(changed, file)
	}
	return changed
}

// parseTLS reads the ssl.* keys into a TLS configuration. Without a truststore the certificates of the system are trusted.
func parseTLS(props map[string]string) (held, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if err := parseTLSVersions(conf, props); err != nil {
		return held{}, err
	}
	own, err := clientCertificates(props)
	if err != nil {
		return held{}, err
	}
	trusted, err := trustedCertificates(props)
	if err != nil {
		return held{}, err
	}
	all := held{conf: conf}
	for _, certificate := range own {
		conf.Certificates = append(conf.Certificates, certificate)
		chain, err := x509.ParseCertificates(bytes.Join(certificate.Certificate, nil))
		if err != nil {
			return held{}, fmt.Errorf("read ssl.keystore: %w", err)
		}
		all.tell(chain, props["ssl.keystore.location"], false)
	}
	if trusted != nil {
		conf.RootCAs = x509.NewCertPool()
		for _, certificate := range trusted {
			conf.RootCAs.AddCert(certificate)
		}
		all.tell(trusted, props["ssl.truststore.location"], true)
	}
	return all, identify(conf, props)
}

func (h *held) tell(certificates []*x509.Certificate, file string, trusted bool) {
	for _, c := range certificates {
		h.certificates = append(h.certificates, CertificateInfo{
			Subject: c.Subject.String(), NotAfter: c.NotAfter, File: strings.TrimSpace(file), Trusted: trusted,
		})
	}
}

// identify applies ssl.endpoint.identification.algorithm. Kafka's default is https: the certificate must carry the
// broker's host name. Set to nothing, the name may be any, but the chain is checked all the same, as in Java; Go's
// InsecureSkipVerify would drop both, so the chain is checked by hand.
func identify(conf *tls.Config, props map[string]string) error {
	algorithm, set := props["ssl.endpoint.identification.algorithm"]
	algorithm = strings.TrimSpace(algorithm)
	switch {
	case !set, strings.EqualFold(algorithm, "https"):
		return nil
	case algorithm != "":
		return fmt.Errorf("read ssl.endpoint.identification.algorithm: %q is neither https nor empty", algorithm)
	}
	roots := conf.RootCAs
	conf.InsecureSkipVerify = true
	conf.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the broker sent no certificate")
		}
		between := x509.NewCertPool()
		for _, certificate := range state.PeerCertificates[1:] {
			between.AddCert(certificate)
		}
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		return nil
	}
	return nil
}

// parseTLSVersions applies ssl.enabled.protocols and ssl.cipher.suites.
func parseTLSVersions(conf *tls.Config, props map[string]string) error {
	if list := strings.TrimSpace(props["ssl.enabled.protocols"]); list != "" {
		conf.MinVersion, conf.MaxVersion = tls.VersionTLS13, 0
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.TrimSpace(name); name {
			case "TLSv1.2":
				conf.MinVersion, conf.MaxVersion = tls.VersionTLS12, max(conf.MaxVersion, tls.VersionTLS12)
			case "TLSv1.3":
				conf.MaxVersion = tls.VersionTLS13
			default:
				return fmt.Errorf("read ssl.enabled.protocols: %q is not supported; TLSv1.2 and TLSv1.3 work", name)
			}
		}
	}
	if list := strings.TrimSpace(props["ssl.cipher.suites"]); list != "" {
		known := make(map[string]uint16)
		for _, suite := range tls.CipherSuites() {
			known[suite.Name] = suite.ID
		}
		for name := range strings.SplitSeq(list, ",") {
			id, ok := known[strings.TrimSpace(name)]
			if !ok {
				return fmt.Errorf("read ssl.cipher.suites: %q is not supported", strings.TrimSpace(name))
			}
			conf.CipherSuites = append(conf.CipherSuites, id)
		}
	}
	return nil
}
