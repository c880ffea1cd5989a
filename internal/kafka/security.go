package kafka

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// security is how connections to a cluster are protected and who we are on them. All copies of a Client share one, and
// each new connection asks it, so that Renew reaches whatever was built from the Client.
type security struct {
	protocol string

	mu    sync.Mutex
	tls   *stores // nil: no TLS
	login *login  // nil: no SASL
	tell  func(Renewal)
}

// Renewal tells that a file with certificates or keys has changed: it is in use from the next connection on, or, with an
// error, cannot be read and the earlier content stays in use.
type Renewal struct {
	File string
	Err  error
}

// CertificateInfo is a certificate of a keystore or truststore.
type CertificateInfo struct {
	Subject  string
	NotAfter time.Time
	File     string // empty for one that stands in the properties
	Trusted  bool   // an authority of the truststore, not our own certificate
}

// classes are keys that name Java code, by which a client proves who it is, and the classes whose work is done here
// too. To run without any other would be to ignore what was asked for.
var classes = map[string][]string{
	"sasl.client.callback.handler.class": {
		"software.amazon.msk.auth.iam.IAMClientCallbackHandler",
		"org.apache.kafka.common.security.oauthbearer.internals.OAuthBearerSaslClientCallbackHandler",
	},
	"sasl.login.callback.handler.class": {
		"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
		"org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler", // its name before 3.4
	},
	"sasl.oauthbearer.jwt.retriever.class": {
		"org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
		"org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
		"org.apache.kafka.common.security.oauthbearer.FileJwtRetriever",
	},
	"sasl.oauthbearer.jwt.validator.class": {
		"org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
		"org.apache.kafka.common.security.oauthbearer.ClientJwtValidator",
	},
	"sasl.login.class":         nil,
	"security.providers":       nil,
	"ssl.engine.factory.class": nil,
}

// parseSecurity reads security.protocol and what it calls for.
func parseSecurity(props map[string]string) (*security, error) {
	s := &security{protocol: strings.ToUpper(strings.TrimSpace(props["security.protocol"]))}
	for key, works := range classes {
		class := strings.TrimSpace(props[key])
		if class == "" || slices.Contains(works, class) {
			continue
		}
		if len(works) == 0 {
			return nil, fmt.Errorf("read %s: a Java class cannot be loaded here; remove the key", key)
		}
		return nil, fmt.Errorf("read %s: a Java class cannot be loaded here; of known ones the work is done by Tandem itself: %s",
			key, strings.Join(works, ", "))
	}
	var withTLS, withSASL bool
	switch s.protocol {
	case "":
		s.protocol = "PLAINTEXT" // Kafka's default
	case "PLAINTEXT":
	case "SSL":
		withTLS = true
	case "SASL_PLAINTEXT":
		withSASL = true
	case "SASL_SSL":
		withTLS, withSASL = true, true
	default:
		return nil, fmt.Errorf("read security.protocol: %q is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", s.protocol)
	}
	var err error
	if withTLS {
		if s.tls, err = openStores(props); err != nil {
			return nil, err
		}
		s.tls.tell = s.told
	}
	if withSASL {
		if s.login, err = parseSASL(props, s.told); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// current is what a connection that is made now uses.
func (s *security) current() (*stores, *login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tls, s.login
}

func (s *security) told(r Renewal) {
	s.mu.Lock()
	tell := s.tell
	s.mu.Unlock()
	if tell != nil {
		tell(r)
	}
}

// String is the protocol, the mechanism and the user.
func (s *security) String() string {
	if _, login := s.current(); login != nil {
		return s.protocol + " " + login.mechanism.Name() + " as " + login.user
	}
	return s.protocol
}

// GoString keeps %#v as quiet as %v.
func (s *security) GoString() string { return s.String() }

// Renew takes the credentials and stores of props for all connections that are made from now on by whatever was built from
// this Client. Connections that exist stay, as in Kafka's clients, until a broker asks for the login again or ends
// them. On an error nothing changes. How the cluster is reached, security.protocol and sasl.mechanism stay as they are.
func (c Client) Renew(props map[string]string) error {
	s := c.security
	anew, err := parseSecurity(props)
	if err != nil {
		return err
	}
	if anew.protocol != s.protocol {
		return fmt.Errorf("renew credentials: security.protocol would become %s instead of %s, which needs a restart", anew.protocol, s.protocol)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.login != nil && s.login.mechanism.Name() != anew.login.mechanism.Name() {
		return fmt.Errorf("renew credentials: sasl.mechanism would become %s instead of %s, which needs a restart",
			anew.login.mechanism.Name(), s.login.mechanism.Name())
	}
	if anew.tls != nil {
		anew.tls.tell = s.told
	}
	if anew.login != nil {
		anew.login.retell(s.told)
	}
	s.tls, s.login = anew.tls, anew.login
	return nil
}

// OnRenewal sets who is told of files with certificates that have changed; a broken file is told once. It is called
// while a connection is being made, and must not wait for one.
func (c Client) OnRenewal(tell func(Renewal)) {
	c.security.mu.Lock()
	defer c.security.mu.Unlock()
	c.security.tell = tell
}

// Certificates are those in use, our own first, for warnings before they expire. Authorities of the system, which are trusted
// where no truststore is set, are not among them.
func (c Client) Certificates() []CertificateInfo {
	stores, _ := c.security.current()
	if stores == nil {
		return nil
	}
	return slices.Clone(stores.current().certificates)
}
