package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/testkit/realkafka"
)

// Every secret of the test. None may be in any output.
const (
	plainSecret = "pl4in-s3cret"
	scramSecret = "scr4m-s3cret"
	oauthSecret = "o4uth-s3cret"
	storeSecret = "st0re-s3cret"
	wrongSecret = "wr0ng-s3cret"
)

var secrets = []string{plainSecret, scramSecret, oauthSecret, storeSecret, wrongSecret}

const (
	modulePlain = "org.apache.kafka.common.security.plain.PlainLoginModule"
	moduleScram = "org.apache.kafka.common.security.scram.ScramLoginModule"
	moduleOAuth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
	acceptOAuth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
)

// secured is a cluster with a listener for each way to come in, and what a client needs for each.
type secured struct {
	side
	first, second *authority // of before and after all certificates are replaced
	dir           string
	tokens        *tokenEndpoint
	ways          map[string]map[string]string // the client properties by the alias they are used for
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	dir := t.TempDir()
	s := &secured{dir: dir, first: newAuthority(t, dir, "first"), second: newAuthority(t, dir, "second")}
	s.tokens = newTokenEndpoint(t, s.first, "mirror", oauthSecret, 8*time.Second)
	listener := func(name, protocol, host string, expired bool, config map[string]string) realkafka.Listener {
		all := s.first.broker(name, host, expired)
		maps.Copy(all, config)
		return realkafka.Listener{Name: name, Protocol: protocol, Config: all}
	}
	s.side = on(t, realkafka.Start(t, realkafka.Options{
		Config: map[string]string{
			"authorizer.class.name":              "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users":                        "User:ANONYMOUS;User:mirror;User:CN=mirror",
			"sasl.oauthbearer.expected.audience": "kafka",
			"sasl.oauthbearer.expected.issuer":   "test",
			"sasl.oauthbearer.jwks.endpoint.url": "file://" + s.tokens.keys,
			"log.retention.ms":                   "-1",
		},
		Listeners: []realkafka.Listener{
			listener("PASSWORD", "SASL_SSL", "127.0.0.1", false, map[string]string{
				"sasl.enabled.mechanisms":        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
				"plain.sasl.jaas.config":         modulePlain + ` required user_mirror="` + plainSecret + `" user_poor="` + plainSecret + `";`,
				"scram-sha-256.sasl.jaas.config": moduleScram + " required;",
				"scram-sha-512.sasl.jaas.config": moduleScram + " required;",
			}),
			listener("OAUTH", "SASL_SSL", "127.0.0.1", false, map[string]string{
				"sasl.enabled.mechanisms":                        "OAUTHBEARER",
				"oauthbearer.sasl.jaas.config":                   moduleOAuth + " required;",
				"oauthbearer.sasl.server.callback.handler.class": acceptOAuth,
				"oauthbearer.connections.max.reauth.ms":          "3600000", // or the end of the token, which is sooner
			}),
			listener("MUTUAL", "SSL", "127.0.0.1", false, map[string]string{"ssl.client.auth": "required"}),
			listener("EXPIRED", "SSL", "127.0.0.1", true, nil),
			listener("ELSEWHERE", "SSL", "kafka.example.com", false, nil),
		},
		JVM: []string{"-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
			"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://" + s.tokens.keys},
	}))
	s.scramUser("mirror", scramSecret)

	jks := s.trust("JKS", truststore(t, "trust.jks", "JKS", storeSecret, s.first))
	p12 := s.trust("PKCS12", truststore(t, "trust.p12", "PKCS12", storeSecret, s.first))
	pem := map[string]string{"ssl.truststore.type": "PEM", "ssl.truststore.location": s.first.file}
	one := s.first.issue("mirror", "client", false)
	s.ways = map[string]map[string]string{
		"plain":    s.by("PASSWORD", "SASL_SSL", jks, login("PLAIN", modulePlain, "mirror", plainSecret)),
		"scram256": s.by("PASSWORD", "SASL_SSL", p12, login("SCRAM-SHA-256", moduleScram, "mirror", scramSecret)),
		"scram512": s.by("PASSWORD", "SASL_SSL", pem, login("SCRAM-SHA-512", moduleScram, "mirror", scramSecret)),
		"oauth":    s.by("OAUTH", "SASL_SSL", p12, s.oauth(oauthSecret)),
		"jks":      s.by("MUTUAL", "SSL", jks, s.key("JKS", s.first.keystore("client.jks", "JKS", storeSecret, one))),
		"pkcsxii":  s.by("MUTUAL", "SSL", p12, s.key("", s.first.keystore("client.p12", "PKCS12", storeSecret, one))),
	}
	return s
}

func (s *secured) by(listener, protocol string, parts ...map[string]string) map[string]string {
	all := map[string]string{"bootstrap.servers": s.Listener(listener), "security.protocol": protocol}
	for _, p := range parts {
		maps.Copy(all, p)
	}
	return all
}

func (s *secured) trust(kind, file string) map[string]string {
	return map[string]string{"ssl.truststore.type": kind, "ssl.truststore.location": file, "ssl.truststore.password": storeSecret}
}

// key is a keystore's settings. Without a kind it is Kafka's default, JKS, which reads PKCS12 too.
func (s *secured) key(kind, file string) map[string]string {
	all := map[string]string{"ssl.keystore.location": file, "ssl.keystore.password": storeSecret}
	if kind != "" {
		all["ssl.keystore.type"] = kind
	}
	return all
}

func login(mechanism, module, user, password string) map[string]string {
	return map[string]string{"sasl.mechanism": mechanism, "sasl.jaas.config": fmt.Sprintf(`%s required username="%s" password="%s";`, module, user, password)}
}

func (s *secured) oauth(secret string) map[string]string {
	return map[string]string{
		"sasl.mechanism":                      "OAUTHBEARER",
		"sasl.oauthbearer.token.endpoint.url": s.tokens.url,
		"sasl.login.callback.handler.class":   "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
		"sasl.jaas.config": fmt.Sprintf(`%s required clientId="mirror" clientSecret="%s" scope="kafka" ssl.truststore.type="PEM" ssl.truststore.location="%s";`,
			moduleOAuth, secret, s.first.file),
	}
}

// lines are properties of a cluster.
func cluster(alias string, props map[string]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(props)) {
		fmt.Fprintf(&text, "%s.%s = %s\n", alias, key, props[key])
	}
	return text.String()
}

// TestSecurity: one cluster with a listener for each way to come in. A process that reads and writes by all of them at once; all
// certificates replaced while it runs; and every way to be turned away.
func TestSecurity(t *testing.T) {
	a, b := clusters(t)
	s := newSecured(t)
	t.Run("replicates by every way, with all certificates replaced meanwhile", func(t *testing.T) { s.replicates(t, a, b) })
	t.Run("is turned away", func(t *testing.T) { s.refuses(t, b) })
}

// replicates runs two flows for each way: one reads the secured cluster, the other writes into it.
func (s *secured) replicates(t *testing.T, a, b side) {
	s.create("sec-out", 1, 1, nil)
	a.create("sec-in", 1, 1, nil)
	all, aliases := numbered(300), []string{"secOut"}
	write := func(from, to int) {
		t.Helper()
		s.write("sec-out", numbered(to)[from:])
		a.write("sec-in", numbered(to)[from:])
	}
	write(0, 100)
	properties := oneBroker + quiet + "secOut.bootstrap.servers = " + b.Bootstrap + "\n"
	ways := slices.Sorted(maps.Keys(s.ways))
	for _, way := range ways {
		aliases = append(aliases, way, way+"In")
		properties += cluster(way, s.ways[way]) + cluster(way+"In", map[string]string{"bootstrap.servers": a.Bootstrap}) +
			fmt.Sprintf("%[1]s->secOut.enabled = true\n%[1]s->secOut.topics = sec-out\n%[1]sIn->%[1]s.enabled = true\n%[1]sIn->%[1]s.topics = sec-in\n", way)
	}
	m := startMirror(t, "clusters = "+strings.Join(aliases, ", ")+"\n"+properties)
	arrive := func(n int64) {
		t.Helper()
		for _, way := range ways {
			m.until(fmt.Sprintf("%d records out by %s", n, way), b.holds(way+".sec-out", n))
			m.until(fmt.Sprintf("%d records in by %s", n, way), s.holds(way+"In.sec-in", n))
		}
	}
	arrive(100)

	// Every certificate and authority is replaced: the clients' files first, and then the brokers', with a restart, after which
	// they accept nothing of before.
	two := s.second.issue("mirror", "client", false)
	s.second.keystore("client.jks", "JKS", storeSecret, two)
	s.second.keystore("client.p12", "PKCS12", storeSecret, two)
	truststore(t, "trust.jks", "JKS", storeSecret, s.first, s.second)
	truststore(t, "trust.p12", "PKCS12", storeSecret, s.first, s.second)
	both, err := os.ReadFile(s.second.file)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(s.first.file)
	if err != nil {
		t.Fatal(err)
	}
	write(100, 200)
	s.Shutdown(0)
	for _, name := range []string{"PASSWORD", "OAUTH", "MUTUAL"} {
		replace(t, filepath.Join(s.dir, name+".broker.pem"), s.second.issue(name, "127.0.0.1", false).pem)
	}
	replace(t, s.first.file, both) // which is the brokers' truststore too
	if err := s.Restart(0); err != nil {
		t.Fatal(err)
	}
	replace(t, s.first.file, append(both, old...)) // the token endpoint keeps its certificate
	write(200, 300)
	arrive(300)
	for _, way := range ways {
		b.wantValues(way+".sec-out", 0, all)
		s.wantValues(way+"In.sec-in", 0, all)
	}
	if n := s.tokens.given.Load(); n < 2 {
		t.Errorf("%d tokens were given, although each ends after seconds", n)
	}
	m.stop()
	text, err := os.ReadFile(m.logFile)
	if err != nil {
		t.Fatal(err)
	}
	wantNoSecret(t, string(text))
}

func wantNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range secrets {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("the secret %s is shown: ...%s", secret, text[max(at-200, 0):min(at+50, len(text))])
		}
	}
}

// refuses comes by settings that are wrong in one thing each, and wants one line that says which.
func (s *secured) refuses(t *testing.T, b side) {
	strangers := newAuthority(t, s.dir, "strangers")
	after := s.trust("PKCS12", filepath.Join(s.dir, "trust.p12"))
	ours := s.key("PKCS12", filepath.Join(s.dir, "client.p12"))
	password := func(mechanism, module, user, password string) map[string]string {
		return s.by("PASSWORD", "SASL_SSL", after, login(mechanism, module, user, password))
	}
	for _, tt := range []struct {
		name  string
		props map[string]string
		want  []string
	}{
		{"wrong password, PLAIN", password("PLAIN", modulePlain, "mirror", wrongSecret), []string{"authentication failed", "Invalid username or password"}},
		{"wrong password, SCRAM", password("SCRAM-SHA-512", moduleScram, "mirror", wrongSecret), []string{"authentication failed", "invalid credentials"}},
		{"wrong secret at the token endpoint", s.by("OAUTH", "SASL_SSL", after, s.oauth(wrongSecret)), []string{s.tokens.url, "invalid_client", "not known by this secret"}},
		{"wrong mechanism", s.by("OAUTH", "SASL_SSL", after, login("PLAIN", modulePlain, "mirror", plainSecret)), []string{"the listener takes sasl.mechanism OAUTHBEARER, not PLAIN"}},
		{"unknown authority", s.by("MUTUAL", "SSL", ours, s.trust("JKS", truststore(t, "strangers.jks", "JKS", storeSecret, strangers))), []string{"the broker's certificate is not accepted", "unknown authority"}},
		{"the broker's certificate has expired", s.by("EXPIRED", "SSL", after), []string{"the broker's certificate is not accepted", "expired"}},
		{"the broker's certificate is another host's", s.by("ELSEWHERE", "SSL", after), []string{"the broker's certificate is not accepted", "127.0.0.1"}},
		{"no client certificate", s.by("MUTUAL", "SSL", after), []string{"the broker asks for a client certificate, and ssl.keystore is not set"}},
		{"the client's certificate has expired", s.by("MUTUAL", "SSL", after, s.key("JKS", s.second.keystore("old.jks", "JKS", storeSecret, s.second.issue("mirror", "client", true)))),
			[]string{"our certificate CN=mirror of ", "old.jks, which expired at"}},
		{"the client's certificate is of a stranger", s.by("MUTUAL", "SSL", after, s.key("JKS", strangers.keystore("strange.jks", "JKS", storeSecret, strangers.issue("mirror", "client", false)))),
			[]string{"the broker asks for a client certificate, and trusts none of the authorities"}},
		{"wrong store password, JKS", s.by("MUTUAL", "SSL", after, s.trust("JKS", filepath.Join(s.dir, "trust.jks")), map[string]string{"ssl.truststore.password": wrongSecret}),
			[]string{"ssl.truststore.password does not open", "trust.jks"}},
		{"wrong store password, PKCS12", s.by("MUTUAL", "SSL", after, ours, map[string]string{"ssl.keystore.password": wrongSecret}), []string{"ssl.keystore.password does not open", "client.p12"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := runMirror(t, propertiesFile(t, oneBroker+quiet+"clusters = away, awayB\naway->awayB.enabled = true\n"+
				cluster("away", tt.props)+"awayB.bootstrap.servers = "+b.Bootstrap+"\n"))
			r.wantRefusal(t, append(tt.want, "cluster away")...)
			wantNoSecret(t, r.stdout+r.stderr)
			t.Log(r.stderr)
		})
	}
	for _, tt := range []struct {
		name  string
		props map[string]string
		want  []string
	}{
		// A broker that is stopped just now looks the same, so it is waited for.
		{"no TLS to a listener with TLS", map[string]string{"bootstrap.servers": s.Listener("PASSWORD")}, []string{"its listener expects another security.protocol"}},
		{"TLS to a listener without", map[string]string{"bootstrap.servers": s.Direct, "security.protocol": "SSL"}, []string{"its listener does not speak TLS"}},
		{"a missing right", password("PLAIN", modulePlain, "poor", plainSecret), []string{"not authorized"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := startMirror(t, oneBroker+quiet+"clusters = wait, waitB\nwait->waitB.enabled = true\nwait->waitB.topics = sec-out\n"+
				cluster("wait", tt.props)+"waitB.bootstrap.servers = "+b.Bootstrap+"\n")
			m.waitFor(append(tt.want, `"level":"warn"`)...)
			m.stop()
			text, err := os.ReadFile(m.logFile)
			if err != nil {
				t.Fatal(err)
			}
			wantNoSecret(t, string(text))
			t.Log(string(text))
		})
	}
}
