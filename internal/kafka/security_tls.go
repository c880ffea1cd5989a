package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// parseTLS reads the ssl.* keys into a TLS configuration. Without a truststore the certificates of the system are trusted.
func parseTLS(props map[string]string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if err := parseTLSVersions(conf, props); err != nil {
		return nil, err
	}
	trusted, err := storePEM(props, "ssl.truststore.", "ssl.truststore.certificates")
	if err != nil {
		return nil, err
	}
	if trusted != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(trusted)) {
			return nil, errors.New("read ssl.truststore: no certificate in it (expected PEM blocks of type CERTIFICATE)")
		}
	}
	certificate, err := clientCertificate(props)
	if err != nil {
		return nil, err
	}
	if certificate != nil {
		conf.Certificates = []tls.Certificate{*certificate}
	}
	return conf, identify(conf, props)
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

// storePEM is the text of a truststore or keystore: given inline, in a PEM file, or not at all ("").
func storePEM(props map[string]string, prefix string, inline ...string) (string, error) {
	kind := strings.ToUpper(strings.TrimSpace(props[prefix+"type"]))
	location := strings.TrimSpace(props[prefix+"location"])
	var text []string
	for _, key := range inline {
		if strings.TrimSpace(props[key]) != "" {
			text = append(text, props[key])
		}
	}
	if location == "" && len(text) == 0 {
		return "", nil
	}
	if kind != "PEM" {
		if kind == "" {
			kind = "JKS, the default," // Kafka's default
		}
		return "", fmt.Errorf("read %stype: %s is not supported yet; PEM works: set %stype=PEM, and convert the store with "+
			"keytool -importkeystore -deststoretype PKCS12 and openssl pkcs12 -nodes", prefix, kind, prefix)
	}
	if len(text) > 0 {
		if location != "" {
			return "", fmt.Errorf("read %slocation: set together with %s; Kafka takes one of them", prefix, strings.Join(inline, " and "))
		}
		return linedPEM(strings.Join(text, "\n")), nil
	}
	content, err := os.ReadFile(location)
	if err != nil {
		return "", fmt.Errorf("read %slocation: %w", prefix, err)
	}
	return linedPEM(string(content)), nil
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

// clientCertificate is the certificate chain and key that the client shows to the broker, nil without a keystore. In a
// PEM file both stand together, in any order.
func clientCertificate(props map[string]string) (*tls.Certificate, error) {
	store, err := storePEM(props, "ssl.keystore.", "ssl.keystore.certificate.chain", "ssl.keystore.key")
	if err != nil || store == "" {
		return nil, err
	}
	var chain, key []byte
	for rest := []byte(store); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case block.Type == "CERTIFICATE":
			chain = append(chain, pem.EncodeToMemory(block)...)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("read ssl.keystore.key: encrypted keys (ssl.key.password) are not supported yet; " +
				"an unencrypted key works: openssl pkcs8 -in key.pem -out plain.pem")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key = pem.EncodeToMemory(block)
		}
	}
	switch {
	case chain == nil:
		return nil, errors.New("read ssl.keystore: no certificate in it (expected PEM blocks of type CERTIFICATE)")
	case key == nil:
		return nil, errors.New("read ssl.keystore: no private key in it (expected a PEM block of type PRIVATE KEY)")
	}
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("read ssl.keystore: %w", err)
	}
	return &certificate, nil
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
