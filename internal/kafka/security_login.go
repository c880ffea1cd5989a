package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The SASL mechanisms, by Kafka's names.
const (
	mechanismPlain    = "PLAIN"
	mechanismScram256 = "SCRAM-SHA-256"
	mechanismScram512 = "SCRAM-SHA-512"
	mechanismOAuth    = "OAUTHBEARER"
	mechanismAWS      = "AWS_MSK_IAM"
	mechanismKerberos = "GSSAPI"
)

const workingMechanisms = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, AWS_MSK_IAM and GSSAPI work"

// login is who we are to a cluster, and the way to prove it. Secrets live only in what the mechanism's functions have
// captured: fmt follows pointers into fields that are not exported, past any String method, and of a function prints the address.
type login struct {
	mechanism sasl.Mechanism
	user      string  // for people
	principal string  // who brokers take it for, without User:, by default; empty where that is not known here
	stores    *stores // what a token endpoint is trusted by; nil for all mechanisms but one
}

func (l *login) retell(tell func(Renewal)) {
	if l.stores != nil {
		l.stores.tell = tell
	}
}

// renewable is the login of this moment as franz-go's mechanism, which is set once.
type renewable struct{ *security }

func (r renewable) Name() string {
	_, login := r.current()
	return login.mechanism.Name()
}

func (r renewable) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	_, login := r.current()
	session, first, err := login.mechanism.Authenticate(ctx, host)
	if err == nil {
		return session, first, nil
	}
	if _, known := errors.AsType[*connectionError](err); !known { // what it needs is not there, and may yet come: a file, a KDC
		err = &connectionError{Unreachable, fmt.Sprintf("cannot log in by %s: %s", login.mechanism.Name(), err), err}
	}
	return nil, nil, err
}

// loginModules are the JAAS login modules that work, by their last name, and the mechanisms they serve. The package
// before the name is not looked at: shaded copies of Kafka's client carry other ones.
var loginModules = map[string][]string{
	"PlainLoginModule":       {mechanismPlain},
	"ScramLoginModule":       {mechanismScram256, mechanismScram512},
	"OAuthBearerLoginModule": {mechanismOAuth},
	"IAMLoginModule":         {mechanismAWS},
	"Krb5LoginModule":        {mechanismKerberos},
}

const workingModules = "PlainLoginModule, ScramLoginModule, OAuthBearerLoginModule, IAMLoginModule and Krb5LoginModule work"

// parseSASL reads sasl.mechanism, sasl.jaas.config and the keys of the mechanism.
func parseSASL(props map[string]string, tell func(Renewal)) (*login, error) {
	mechanism := strings.TrimSpace(props["sasl.mechanism"])
	if mechanism == "" {
		mechanism = mechanismKerberos // Kafka's default
	}
	known := false
	for _, serves := range loginModules {
		known = known || slices.Contains(serves, mechanism)
	}
	if !known {
		return nil, fmt.Errorf("read sasl.mechanism: %q is not supported; %s", mechanism, workingMechanisms)
	}
	jaas, err := loginOf(props, mechanism)
	if err != nil {
		return nil, err
	}
	switch mechanism {
	case mechanismOAuth:
		return oauthLogin(jaas.options, props, tell)
	case mechanismAWS:
		return awsLogin(jaas.options)
	case mechanismKerberos:
		return kerberosLogin(jaas.options, props)
	default:
		return passwordLogin(jaas.options, mechanism)
	}
}

// loginOf reads sasl.jaas.config, whose login module must serve the mechanism.
func loginOf(props map[string]string, mechanism string) (jaasLogin, error) {
	config := props["sasl.jaas.config"]
	if strings.TrimSpace(config) == "" {
		if mechanism == mechanismOAuth && strings.TrimSpace(props[oauthClientID]) != "" {
			return jaasLogin{}, nil // all is in keys of its own
		}
		why := "it says who logs in by " + mechanism
		if strings.TrimSpace(props["sasl.mechanism"]) == "" {
			why += ", Kafka's default, since sasl.mechanism is not set; " + workingMechanisms
		}
		return jaasLogin{}, errors.New("read sasl.jaas.config: not set; " + why)
	}
	jaas, err := parseJAAS(config)
	if err != nil {
		return jaasLogin{}, fmt.Errorf("read sasl.jaas.config: %w", err)
	}
	name := jaas.module[strings.LastIndexByte(jaas.module, '.')+1:]
	serves, known := loginModules[name]
	if !known {
		return jaasLogin{}, fmt.Errorf("read sasl.jaas.config: login module %s is not supported; %s", name, workingModules)
	}
	if !slices.Contains(serves, mechanism) {
		return jaasLogin{}, fmt.Errorf("read sasl.jaas.config: login module %s does not serve sasl.mechanism %s", name, mechanism)
	}
	return jaas, nil
}

// passwordLogin is that of the mechanisms by user name and password. With SCRAM they may be those of a delegation token.
func passwordLogin(options map[string]string, mechanism string) (*login, error) {
	for _, option := range []string{"username", "password"} {
		if options[option] == "" {
			return nil, fmt.Errorf("read sasl.jaas.config: option %s is not set", option)
		}
	}
	user, password, token := options["username"], options["password"], strings.EqualFold(options["tokenauth"], "true")
	l := &login{user: user, principal: user}
	if token {
		l.principal = "" // that of its owner
	}
	switch {
	case mechanism == mechanismPlain && token:
		return nil, errors.New("read sasl.jaas.config: delegation tokens (tokenauth) need a mechanism of SCRAM")
	case mechanism == mechanismPlain:
		l.mechanism = plain.Auth{User: user, Pass: password}.AsMechanism()
	case mechanism == mechanismScram256:
		l.mechanism = scram.Auth{User: user, Pass: password, IsToken: token}.AsSha256Mechanism()
	default:
		l.mechanism = scram.Auth{User: user, Pass: password, IsToken: token}.AsSha512Mechanism()
	}
	return l, nil
}
