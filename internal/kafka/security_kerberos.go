package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	krb5 "github.com/jcmturner/gokrb5/v8/client"
	krb5config "github.com/jcmturner/gokrb5/v8/config"
	krb5credentials "github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/sasl/kerberos"
)

// ticket is how tickets of Kerberos are got: by a keytab, or from a cache that somebody else keeps fresh. Both files, and
// krb5.conf, are read for each connection.
type ticket struct {
	principal, realm string
	keytab, cache    string
	service          string
}

// kerberosLogin reads the options of Krb5LoginModule.
func kerberosLogin(options, props map[string]string) (*login, error) {
	is := func(option string) bool { return strings.EqualFold(options[option], "true") }
	t := ticket{keytab: options["keyTab"], cache: options["ticketCache"], service: strings.TrimSpace(props["sasl.kerberos.service.name"])}
	if t.service == "" {
		t.service = options["serviceName"]
	} else if other := options["serviceName"]; other != "" && other != t.service {
		return nil, fmt.Errorf("read sasl.kerberos.service.name: %q, while option serviceName of sasl.jaas.config is %q", t.service, other)
	}
	if t.service == "" {
		return nil, errors.New("read sasl.kerberos.service.name: not set; it is the first part of the brokers' principals, often kafka")
	}
	t.principal, t.realm, _ = strings.Cut(options["principal"], "@")
	switch {
	case is("useKeyTab"):
		if t.principal == "" {
			return nil, errors.New("read sasl.jaas.config: option principal is not set, which useKeyTab needs")
		}
		if t.keytab == "" {
			t.keytab = "/etc/krb5.keytab"
			if name := strings.TrimPrefix(os.Getenv("KRB5_KTNAME"), "FILE:"); name != "" {
				t.keytab = name
			}
		}
		t.cache = ""
	case is("useTicketCache"):
		t.keytab = ""
		if t.cache == "" {
			t.cache = fmt.Sprintf("/tmp/krb5cc_%d", os.Getuid())
			if name := strings.TrimPrefix(os.Getenv("KRB5CCNAME"), "FILE:"); name != "" {
				t.cache = name
			}
		}
	default:
		return nil, errors.New("read sasl.jaas.config: Krb5LoginModule needs useKeyTab=true with keyTab and principal, or useTicketCache=true; " +
			"nobody can be asked for a password")
	}
	user := options["principal"]
	if user == "" {
		user = "the principal of " + t.cache
	}
	short, _, _ := strings.Cut(t.principal, "/") // by sasl.kerberos.principal.to.local.rules of most brokers
	return &login{user: user, principal: short, mechanism: kerberos.Kerberos(t.auth)}, nil
}

// auth is called for each connection. The client that it makes ends with the connection's login.
func (t ticket) auth(context.Context) (kerberos.Auth, error) {
	file := os.Getenv("KRB5_CONFIG")
	if file == "" {
		file = "/etc/krb5.conf"
	}
	conf, err := krb5config.Load(file)
	if err != nil {
		return kerberos.Auth{}, fmt.Errorf("read %s: %w", file, err)
	}
	var client *krb5.Client
	if t.cache != "" {
		cache, err := krb5credentials.LoadCCache(t.cache)
		if err != nil {
			return kerberos.Auth{}, fmt.Errorf("read ticket cache %s: %w", t.cache, err)
		}
		if client, err = krb5.NewFromCCache(cache, conf, krb5.DisablePAFXFAST(true)); err != nil {
			return kerberos.Auth{}, fmt.Errorf("use ticket cache %s: %w", t.cache, err)
		}
	} else {
		keys, err := keytab.Load(t.keytab)
		if err != nil {
			return kerberos.Auth{}, fmt.Errorf("read keytab %s: %w", t.keytab, err)
		}
		realm := t.realm
		if realm == "" {
			realm = conf.LibDefaults.DefaultRealm
		}
		client = krb5.NewWithKeytab(t.principal, realm, keys, conf, krb5.DisablePAFXFAST(true))
	}
	return kerberos.Auth{Client: client, Service: t.service}, nil
}
