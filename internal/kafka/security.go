package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The SASL mechanisms that work, by Kafka's names.
const (
	mechanismPlain    = "PLAIN"
	mechanismScram256 = "SCRAM-SHA-256"
	mechanismScram512 = "SCRAM-SHA-512"
)

const workingMechanisms = mechanismPlain + ", " + mechanismScram256 + " and " + mechanismScram512 + " work"

// credentials are one user's SASL login. The password is behind a function because fmt follows pointers and goes into
// fields that are not exported, past any String method; of a function it prints the address.
type credentials struct {
	mechanism string
	user      string
	password  func() string
}

// kgo is the login for franz-go.
func (c *credentials) kgo() (sasl.Mechanism, error) {
	switch c.mechanism {
	case mechanismPlain:
		return plain.Auth{User: c.user, Pass: c.password()}.AsMechanism(), nil
	case mechanismScram256:
		return scram.Auth{User: c.user, Pass: c.password()}.AsSha256Mechanism(), nil
	case mechanismScram512:
		return scram.Auth{User: c.user, Pass: c.password()}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("set up sasl.mechanism %s: %s", c.mechanism, workingMechanisms)
}

// sarama puts the login into a sarama configuration.
func (c *credentials) sarama(conf *sarama.Config) {
	conf.Net.SASL.Enable = true
	conf.Net.SASL.Mechanism = sarama.SASLMechanism(c.mechanism)
	conf.Net.SASL.User = c.user
	conf.Net.SASL.Password = c.password()
	if c.mechanism != mechanismPlain {
		mechanism := c.mechanism
		conf.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{mechanism: mechanism} }
	}
}

// unsupported are keys that change how a client proves who it is by Java code of the user. To run without that code would
// be to ignore what was asked for.
var unsupported = []string{
	"sasl.client.callback.handler.class",
	"sasl.login.callback.handler.class",
	"sasl.login.class",
	"security.providers",
	"ssl.engine.factory.class",
}

// parseSecurity reads security.protocol and what it calls for.
func (c *Client) parseSecurity(props map[string]string) error {
	for _, key := range unsupported {
		if strings.TrimSpace(props[key]) != "" {
			return fmt.Errorf("read %s: a Java class cannot be loaded here; remove the key (SASL %s, TLS with PEM files works)",
				key, workingMechanisms)
		}
	}
	protocol := strings.ToUpper(strings.TrimSpace(props["security.protocol"]))
	if protocol == "" {
		protocol = "PLAINTEXT" // Kafka's default
	}
	var withTLS, withSASL bool
	switch protocol {
	case "PLAINTEXT":
	case "SSL":
		withTLS = true
	case "SASL_PLAINTEXT":
		withSASL = true
	case "SASL_SSL":
		withTLS, withSASL = true, true
	default:
		return fmt.Errorf("read security.protocol: %q is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", protocol)
	}
	if withTLS {
		conf, err := parseTLS(props)
		if err != nil {
			return err
		}
		c.tls = conf.Clone // each library gets its own
	}
	if withSASL {
		login, err := parseSASL(props)
		if err != nil {
			return err
		}
		c.sasl = login
	}
	return nil
}

// loginModules are the JAAS login modules that work, by their last name, and the mechanisms they serve. The package
// before the name is not looked at: shaded copies of Kafka's client carry other ones.
var loginModules = map[string][]string{
	"PlainLoginModule": {mechanismPlain},
	"ScramLoginModule": {mechanismScram256, mechanismScram512},
}

// parseSASL reads sasl.mechanism and sasl.jaas.config.
func parseSASL(props map[string]string) (*credentials, error) {
	mechanism := strings.TrimSpace(props["sasl.mechanism"])
	switch mechanism {
	case mechanismPlain, mechanismScram256, mechanismScram512:
	case "":
		return nil, errors.New("read sasl.mechanism: not set, and Kafka's default, GSSAPI, is not supported yet; " + workingMechanisms)
	default:
		return nil, fmt.Errorf("read sasl.mechanism: %q is not supported yet; %s", mechanism, workingMechanisms)
	}
	config := props["sasl.jaas.config"]
	if strings.TrimSpace(config) == "" {
		return nil, errors.New("read sasl.jaas.config: not set; it carries the user name and password of " + mechanism)
	}
	login, err := parseJAAS(config)
	if err != nil {
		return nil, fmt.Errorf("read sasl.jaas.config: %w", err)
	}
	name := login.module[strings.LastIndexByte(login.module, '.')+1:]
	serves, known := loginModules[name]
	if !known {
		return nil, fmt.Errorf("read sasl.jaas.config: login module %s is not supported yet; PlainLoginModule and ScramLoginModule work", name)
	}
	if slices.Contains(serves, mechanism) {
		return login.credentials(mechanism)
	}
	return nil, fmt.Errorf("read sasl.jaas.config: login module %s does not serve sasl.mechanism %s", name, mechanism)
}

// credentials takes the options that both login modules share.
func (l jaasLogin) credentials(mechanism string) (*credentials, error) {
	if strings.EqualFold(l.options["tokenauth"], "true") {
		return nil, errors.New("read sasl.jaas.config: delegation tokens (tokenauth) are not supported yet; give a user's own name and password")
	}
	for _, option := range []string{"username", "password"} {
		if l.options[option] == "" {
			return nil, fmt.Errorf("read sasl.jaas.config: option %s is not set", option)
		}
	}
	password := l.options["password"]
	return &credentials{mechanism: mechanism, user: l.options["username"], password: func() string { return password }}, nil
}
