package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reach asks a cluster for something, once with each library.
func reach(t *testing.T, bootstrap string, props map[string]string) map[string]error {
	t.Helper()
	c := clientOf(t, bootstrap, props)
	results := make(map[string]error)
	a := NewAdmin(c)
	defer a.Close()
	_, results["sarama"] = a.Topics(within(t, 10*time.Second))
	opts, err := c.kgoOpts()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	results["franz-go"] = cl.Ping(within(t, 10*time.Second))
	return results
}

func jaas(module, user, password string) string {
	return module + ` required username="` + user + `" password="` + password + `";`
}

func TestLogins(t *testing.T) {
	for _, m := range []struct{ mechanism, module string }{
		{"PLAIN", plainModule}, {"SCRAM-SHA-256", scramModule}, {"SCRAM-SHA-512", scramModule},
	} {
		t.Run(m.mechanism, func(t *testing.T) {
			cluster, _ := fakeCluster(t, kfake.NumBrokers(2), kfake.EnableSASL(), kfake.Superuser(m.mechanism, "alice", secret))
			props := map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": m.mechanism}
			login := func(user, password string) map[string]error {
				return reach(t, cluster.ListenAddrs()[0], with(props, "sasl.jaas.config", jaas(m.module, user, password)))
			}
			for library, err := range login("alice", secret) {
				if err != nil {
					t.Errorf("%s: right password refused: %v", library, err)
				}
			}
			for library, err := range login("alice", "wrong") {
				if err == nil {
					t.Errorf("%s: wrong password accepted", library)
				}
			}
			for library, err := range reach(t, cluster.ListenAddrs()[0], nil) {
				if Classify(err) != Unreachable || !strings.Contains(Explain(err), "security.protocol") {
					t.Errorf("%s without SASL: %v, explained %q", library, err, Explain(err))
				}
			}
		})
	}
}

// Kafka answers a wrong password with an error code and its reason, and then closes the connection.
func TestAWrongPasswordIsToldAsSuch(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", secret))
	cluster.ControlKey(kmsg.SASLAuthenticate.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		resp.ErrorMessage = kmsg.StringPtr("Authentication failed: Invalid username or password")
		return resp, nil, true
	})
	for library, err := range reach(t, cluster.ListenAddrs()[0], map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": jaas(plainModule, "alice", secret+"x"),
	}) {
		if Classify(err) != Authentication {
			t.Errorf("%s: kind %d: %v", library, Classify(err), err)
		}
		if line := Explain(err); !strings.HasPrefix(line, "authentication failed: ") || strings.Contains(line, secret) {
			t.Errorf("%s: explained %q", library, line)
		}
		if library == "sarama" && !strings.Contains(Explain(err), "Invalid username or password") {
			t.Errorf("%s: the broker's reason is lost: %q", library, Explain(err))
		}
	}
}

func TestAMechanismThatTheListenerLacks(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", secret))
	cluster.ControlKey(kmsg.SASLHandshake.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
		resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		resp.SupportedMechanisms = []string{"PLAIN"}
		return resp, nil, true
	})
	for library, err := range reach(t, cluster.ListenAddrs()[0], map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.jaas.config": jaas(scramModule, "alice", secret),
	}) {
		if Classify(err) != Authentication {
			t.Errorf("%s: kind %d: %v", library, Classify(err), err)
		}
	}
}

func TestTLS(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	here, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.TLS(ours.listener(t, "127.0.0.1")))
	elsewhere, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.TLS(ours.listener(t, "kafka.example.com")))
	mutual := ours.listener(t, "127.0.0.1")
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ours.pool()
	strict, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.TLS(mutual))
	open, _ := fakeCluster(t, kfake.NumBrokers(1))

	ssl := map[string]string{"security.protocol": "SSL"}
	file := filepath.Join(t.TempDir(), "ca.pem")
	chain, key := ours.issue(t, "client")
	both := filepath.Join(t.TempDir(), "client.pem")
	for path, content := range map[string]string{file: ours.pem, both: key + chain} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inline := with(ssl, "ssl.truststore.type", "PEM", "ssl.truststore.certificates", ours.pem)
	folded := with(ssl, "ssl.truststore.type", "PEM", "ssl.truststore.certificates", strings.ReplaceAll(ours.pem, "\n", " "))
	strangers := with(ssl, "ssl.truststore.type", "PEM", "ssl.truststore.certificates", others.pem)
	anyName := "ssl.endpoint.identification.algorithm"
	foreignChain, foreignKey := others.issue(t, "client")

	for _, test := range []struct {
		name    string
		cluster *kfake.Cluster
		props   map[string]string
		want    Kind // with ok false
		ok      bool
	}{
		{"authority inline", here, inline, 0, true},
		{"authority inline, lines folded by the properties file", here, folded, 0, true},
		{"authority in a file", here, with(ssl, "ssl.truststore.type", "PEM", "ssl.truststore.location", file), 0, true},
		{"TLS 1.2 only", here, with(inline, "ssl.enabled.protocols", "TLSv1.2"), 0, true},
		{"unknown authority", here, ssl, Authentication, false},
		{"another authority", here, strangers, Authentication, false},
		{"another host's certificate", elsewhere, inline, Authentication, false},
		{"another host's certificate, names not checked", elsewhere, with(inline, anyName, ""), 0, true},
		{"names not checked, but the authority still is", elsewhere, with(strangers, anyName, ""), Authentication, false},
		{"client certificate inline", strict, with(inline, "ssl.keystore.type", "PEM",
			"ssl.keystore.certificate.chain", chain, "ssl.keystore.key", key), 0, true},
		{"client certificate in a file", strict, with(inline, "ssl.keystore.type", "PEM", "ssl.keystore.location", both), 0, true},
		{"no client certificate where one is asked for", strict, inline, Authentication, false},
		{"a client certificate of another authority", strict, with(inline, "ssl.keystore.type", "PEM",
			"ssl.keystore.certificate.chain", foreignChain, "ssl.keystore.key", foreignKey), Authentication, false},
		{"TLS to a listener without", open, with(inline, "request.timeout.ms", "300", "socket.connection.setup.timeout.ms", "300"), Unreachable, false},
		{"no TLS to a listener with", here, nil, Unreachable, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for library, err := range reach(t, test.cluster.ListenAddrs()[0], test.props) {
				switch {
				case test.ok && err != nil:
					t.Errorf("%s: %v", library, err)
				case !test.ok && Classify(err) != test.want:
					t.Errorf("%s: kind %d, want %d: %v", library, Classify(err), test.want, err)
				}
				t.Logf("%s: %s", library, Explain(err))
			}
		})
	}
}

func TestSASLOverTLS(t *testing.T) {
	ca := newAuthority(t, "ours")
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.TLS(ca.listener(t, "127.0.0.1")),
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "alice", secret))
	for library, err := range reach(t, cluster.ListenAddrs()[0], map[string]string{
		"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": jaas(scramModule, "alice", secret),
		"ssl.truststore.type": "PEM", "ssl.truststore.certificates": ca.pem,
	}) {
		if err != nil {
			t.Errorf("%s: %v", library, err)
		}
	}
}

func TestErrorsOfOurOwnEndAreNoKind(t *testing.T) {
	a := adminOf(t, "127.0.0.1:1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Topics(ctx)
	if !errors.Is(err, context.Canceled) || Classify(err) != Other {
		t.Errorf("got %v, kind %d", err, Classify(err))
	}
	a.Close()
	if _, err := a.Topics(t.Context()); err == nil || Classify(err) != Other {
		t.Errorf("closed: got %v, kind %d", err, Classify(err))
	}
}
