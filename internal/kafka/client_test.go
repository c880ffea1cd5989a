package kafka

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	plainModule = "org.apache.kafka.common.security.plain.PlainLoginModule"
	scramModule = "org.apache.kafka.common.security.scram.ScramLoginModule"
	secret      = "tr0ub4dor&3"
)

// saslProps log in with a mechanism and the secret.
func saslProps(protocol, mechanism, module string) map[string]string {
	return map[string]string{
		"bootstrap.servers": "b1:9092",
		"security.protocol": protocol,
		"sasl.mechanism":    mechanism,
		"sasl.jaas.config":  module + ` required username="alice" password="` + secret + `";`,
	}
}

func with(props map[string]string, pairs ...string) map[string]string {
	props = maps.Clone(props)
	for i := 0; i < len(pairs); i += 2 {
		props[pairs[i]] = pairs[i+1]
	}
	return props
}

func TestParseReachesTheCluster(t *testing.T) {
	for _, test := range []struct {
		name  string
		props map[string]string
		want  string // String of the Client
	}{
		{"one broker", map[string]string{"bootstrap.servers": "b1:9092"}, "b1:9092 (PLAINTEXT)"},
		{"several, with blanks and a hanging comma", map[string]string{"bootstrap.servers": " b1:9092 , b2:9093,"}, "b1:9092,b2:9093 (PLAINTEXT)"},
		{"a protocol before the host", map[string]string{"bootstrap.servers": "PLAINTEXT://b1:9092"}, "b1:9092 (PLAINTEXT)"},
		{"IPv6", map[string]string{"bootstrap.servers": "[::1]:9092"}, "[::1]:9092 (PLAINTEXT)"},
		{"the protocol in lower case", map[string]string{"bootstrap.servers": "b1:9092", "security.protocol": "ssl"}, "b1:9092 (SSL)"},
		{"PLAIN", saslProps("SASL_PLAINTEXT", "PLAIN", plainModule), "b1:9092 (SASL_PLAINTEXT PLAIN as alice)"},
		{"SCRAM over TLS", saslProps("SASL_SSL", "SCRAM-SHA-512", scramModule), "b1:9092 (SASL_SSL SCRAM-SHA-512 as alice)"},
		{"a shaded login module", saslProps("SASL_SSL", "SCRAM-SHA-256", "shaded."+scramModule), "b1:9092 (SASL_SSL SCRAM-SHA-256 as alice)"},
		{"SASL settings that security.protocol does not ask for", with(saslProps("PLAINTEXT", "GSSAPI", "x")), "b1:9092 (PLAINTEXT)"},
		{"keys of others", map[string]string{"bootstrap.servers": "b1:9092", "acks": "all", "group.id": "g"}, "b1:9092 (PLAINTEXT)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse(test.props)
			if err != nil {
				t.Fatal(err)
			}
			if c.String() != test.want {
				t.Errorf("got %s, want %s", c, test.want)
			}
			if _, err := c.saramaConfig(); err != nil {
				t.Errorf("sarama refuses it: %v", err)
			}
			opts, err := c.kgoOpts()
			if err != nil {
				t.Fatal(err)
			}
			cl, err := kgo.NewClient(opts...)
			if err != nil {
				t.Fatalf("franz-go refuses it: %v", err)
			}
			cl.Close()
		})
	}
}

func TestParseRefuses(t *testing.T) {
	plain := map[string]string{"bootstrap.servers": "b1:9092"}
	ssl := with(plain, "security.protocol", "SSL")
	sasl := saslProps("SASL_SSL", "PLAIN", plainModule)
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		props map[string]string
		key   string // the key that the error names
		says  string // what else it says
	}{
		{"no brokers", map[string]string{}, "bootstrap.servers", "no broker"},
		{"a host without port", map[string]string{"bootstrap.servers": "b1"}, "bootstrap.servers", "host:port"},
		{"a port that is none", map[string]string{"bootstrap.servers": "b1:99999"}, "bootstrap.servers", "valid port"},
		{"an unknown protocol", with(plain, "security.protocol", "TLS"), "security.protocol", "SASL_SSL"},
		{"a time that is none", with(plain, "request.timeout.ms", "30s"), "request.timeout.ms", "milliseconds"},
		{"a time below the least", with(plain, "metadata.max.age.ms", "1"), "metadata.max.age.ms", "1000"},
		{"no mechanism, which is Kerberos", with(sasl, "sasl.mechanism", ""), "sasl.jaas.config", "GSSAPI"},
		{"neither mechanism nor login", with(sasl, "sasl.mechanism", "", "sasl.jaas.config", ""), "sasl.jaas.config", "sasl.mechanism is not set"},
		{"a mechanism that does not exist", with(sasl, "sasl.mechanism", "DIGEST-MD5"), "sasl.mechanism", "AWS_MSK_IAM and GSSAPI work"},
		{"no login", with(sasl, "sasl.jaas.config", ""), "sasl.jaas.config", "who logs in by PLAIN"},
		{"another mechanism's module", with(sasl, "sasl.mechanism", "SCRAM-SHA-256"), "sasl.jaas.config", "does not serve"},
		{"a module of Kerberos", with(sasl, "sasl.jaas.config", `com.sun.security.auth.module.Krb5LoginModule required password="`+secret+`";`), "sasl.jaas.config", "does not serve"},
		{"a module that nobody knows", with(sasl, "sasl.jaas.config", `com.example.LoginModule required password="`+secret+`";`), "sasl.jaas.config", "PlainLoginModule"},
		{"no password", with(sasl, "sasl.jaas.config", plainModule+` required username="alice";`), "sasl.jaas.config", "password"},
		{"no semicolon", with(sasl, "sasl.jaas.config", plainModule+` required username="alice" password="`+secret+`"`), "sasl.jaas.config", "semicolon"},
		{"an open quote", with(sasl, "sasl.jaas.config", plainModule+` required username="alice" password="`+secret), "sasl.jaas.config", "quote"},
		{"an open comment", with(sasl, "sasl.jaas.config", `/* `+secret), "sasl.jaas.config", "comment"},
		{"no flag", with(sasl, "sasl.jaas.config", plainModule+` password="`+secret+`";`), "sasl.jaas.config", "required"},
		{"a value without a name", with(sasl, "sasl.jaas.config", plainModule+` required "`+secret+`";`), "sasl.jaas.config", "option name"},
		{"a name without a value", with(sasl, "sasl.jaas.config", plainModule+` required username password="`+secret+`";`), "sasl.jaas.config", "no value"},
		{"two modules", with(sasl, "sasl.jaas.config", strings.Repeat(sasl["sasl.jaas.config"], 2)), "sasl.jaas.config", "more than one"},
		{"a delegation token without SCRAM", with(sasl, "sasl.jaas.config",
			plainModule+` required username="id" password="`+secret+`" tokenauth="true";`), "sasl.jaas.config", "tokenauth"},
		{"a callback class", with(sasl, "sasl.client.callback.handler.class", "com.example.Handler"), "sasl.client.callback.handler.class", "Java"},
		{"a store of another kind", with(ssl, "ssl.truststore.type", "BCFKS", "ssl.truststore.location", garbage), "ssl.truststore.type", "JKS, PKCS12 and PEM work"},
		{"a store that is none", with(ssl, "ssl.truststore.location", garbage, "ssl.truststore.password", secret), "ssl.truststore", garbage},
		{"a keystore without password", with(ssl, "ssl.keystore.type", "PKCS12", "ssl.keystore.location", garbage), "ssl.keystore.password", "not set"},
		{"PEM of another type", with(ssl, "ssl.truststore.certificates", newAuthority(t, "x").pem), "ssl.truststore.type", "PEM"},
		{"a truststore file that is not there", with(ssl, "ssl.truststore.type", "PEM", "ssl.truststore.location", "/nowhere/ca.pem"), "ssl.truststore.location", "no such file"},
		{"a truststore without certificates", with(ssl, "ssl.truststore.type", "PEM", "ssl.truststore.location", garbage), "ssl.truststore", "no certificate"},
		{"a truststore given twice", with(ssl, "ssl.truststore.type", "PEM", "ssl.truststore.location", garbage, "ssl.truststore.certificates", "x"), "ssl.truststore.location", "one of them"},
		{"a keystore without key", with(ssl, "ssl.keystore.type", "PEM", "ssl.keystore.certificate.chain", newAuthority(t, "x").pem), "ssl.keystore", "no private key"},
		{"an encrypted key", with(ssl, "ssl.keystore.type", "PEM", "ssl.keystore.key", newAuthority(t, "x").pem+block("ENCRYPTED PRIVATE KEY", []byte("x")), "ssl.key.password", secret), "ssl.key.password", "does not open"},
		{"an encrypted key without password", with(ssl, "ssl.keystore.type", "PEM", "ssl.keystore.key", newAuthority(t, "x").pem+block("ENCRYPTED PRIVATE KEY", []byte("x"))), "ssl.key.password", "not set"},
		{"a host name check that does not exist", with(ssl, "ssl.endpoint.identification.algorithm", "ldaps"), "ssl.endpoint.identification.algorithm", "https"},
		{"an old TLS", with(ssl, "ssl.enabled.protocols", "TLSv1.1"), "ssl.enabled.protocols", "TLSv1.2"},
		{"an unknown cipher", with(ssl, "ssl.cipher.suites", "ROT13"), "ssl.cipher.suites", "not supported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(test.props)
			if err == nil {
				t.Fatal("taken")
			}
			for _, part := range []string{test.key, test.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in %q", err)
			}
		})
	}
}

// A Client may end up in a log or in the dump of a struct that holds it: the password must not.
func TestNoWayOfPrintingShowsTheSecret(t *testing.T) {
	c, err := Parse(saslProps("SASL_SSL", "PLAIN", plainModule))
	if err != nil {
		t.Fatal(err)
	}
	held := struct {
		client Client
		admin  *Admin
	}{c, NewAdmin(c)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{c, &c, held, &held, held.admin, c.security, c.security.login, *c.security.login, *held.admin.appends.client.security.login} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, secret) {
				t.Errorf("%s of %T: %s", verb, value, text)
			}
		}
	}
}

func TestJAASOptions(t *testing.T) {
	for _, test := range []struct {
		name   string
		option string
		want   string
	}{
		{"double quotes", `password="a b"`, "a b"},
		{"single quotes", `password='a"b'`, `a"b`},
		{"an escaped quote", `password="a\"b"`, `a"b`},
		{"an escaped backslash", `password="a\\b"`, `a\b`},
		{"control characters", `password="a\tb\nc"`, "a\tb\nc"},
		{"octal", `password="\101\60"`, "A0"},
		{"octal of two digits, since three would be more than a byte", `password="\477"`, "'7"},
		{"a semicolon and an equals sign in quotes", `password="a;b=c"`, "a;b=c"},
		{"slashes in quotes are no comment", `password="a//b/*c*/"`, "a//b/*c*/"},
		{"comments between", "/* a */ password // b\n = /* c */ \"x\"", "x"},
		{"blanks around the equals sign", `password = "x"`, "x"},
		{"no quotes", `password=x9-$_`, "x9-$_"},
		{"not ASCII", `password="pässwörd"`, "pässwörd"},
		{"empty", `password=""`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			login, err := parseJAAS(plainModule + " required username=\"u\" " + test.option + ";")
			if err != nil {
				t.Fatal(err)
			}
			if got := login.options["password"]; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if login.module != plainModule || login.options["username"] != "u" {
				t.Errorf("got %+v", login)
			}
		})
	}
}

// Whatever a password holds, quoting it by Java's rules and reading it back gives the password.
func TestJAASReadsBackAnyPassword(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("ab01789=;'\"\\/*\n\r\t\f\v\a\b $ü€\x00")
	for range 20_000 {
		var password, quoted strings.Builder
		for range random.IntN(12) {
			r := alphabet[random.IntN(len(alphabet))]
			password.WriteRune(r)
			switch {
			case r == '"' || r == '\\':
				quoted.WriteString(`\` + string(r))
			case r == '\n':
				quoted.WriteString(`\n`)
			case r == '\r':
				quoted.WriteString(`\r`)
			case r < 8:
				fmt.Fprintf(&quoted, `\%03o`, r)
			default:
				quoted.WriteRune(r)
			}
		}
		login, err := parseJAAS(`M required password="` + quoted.String() + `" username='u';`)
		if err != nil {
			t.Fatalf("%q: %v", quoted.String(), err)
		}
		if login.options["password"] != password.String() {
			t.Fatalf("%q: got %q, want %q", quoted.String(), login.options["password"], password.String())
		}
	}
}

func TestTimesFollowTheProperties(t *testing.T) {
	c, err := Parse(map[string]string{
		"bootstrap.servers": "b1:9092", "request.timeout.ms": "40000", "socket.connection.setup.timeout.ms": "7000",
		"metadata.max.age.ms": "60000", "connections.max.idle.ms": "-1", "client.id": "A->B",
	})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := c.saramaConfig()
	if err != nil {
		t.Fatal(err)
	}
	if conf.Net.ReadTimeout != 40*time.Second || conf.Net.DialTimeout != 7*time.Second ||
		conf.Metadata.RefreshFrequency != time.Minute || conf.ClientID != "A->B" {
		t.Errorf("sarama got %v, %v, %v, %s", conf.Net.ReadTimeout, conf.Net.DialTimeout, conf.Metadata.RefreshFrequency, conf.ClientID)
	}
	if conf.Admin.Timeout >= conf.Net.ReadTimeout {
		t.Errorf("the broker may take %v, we wait %v only: its reason would be lost", conf.Admin.Timeout, conf.Net.ReadTimeout)
	}
	opts, err := c.kgoOpts()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for name, want := range map[string]any{"MetadataMaxAge": time.Minute, "ClientID": "A->B", "ConnIdleTimeout": 15 * time.Minute} {
		got := cl.OptValue(name)
		if id, ok := got.(*string); ok {
			got = *id
		}
		if got != want {
			t.Errorf("franz-go's %s is %v, want %v", name, got, want)
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	c, err := Parse(map[string]string{"bootstrap.servers": "b1:9092", "retry.backoff.ms": "100", "reconnect.backoff.max.ms": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	for n, ms := range map[int]int64{0: 100, 1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, 1000: 1000} {
		want := time.Duration(ms) * time.Millisecond
		if got := c.backoff(n); got < want*8/10 || got > want*12/10 {
			t.Errorf("retry %d waits %v, want about %v", n, got, want)
		}
	}
}
