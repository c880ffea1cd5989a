package kafka

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const patience = 10 * time.Second

// TestRenewedCredentials: a new password serves the connections that both libraries make from then on.
func TestRenewedCredentials(t *testing.T) {
	for _, m := range []struct{ mechanism, module string }{{"PLAIN", plainModule}, {"SCRAM-SHA-256", scramModule}} {
		t.Run(m.mechanism, func(t *testing.T) {
			cluster, wires := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(),
				kfake.Superuser(m.mechanism, "alice", secret), kfake.Superuser(m.mechanism, "bob", "another"))
			props := map[string]string{"bootstrap.servers": cluster.ListenAddrs()[0], "security.protocol": "SASL_PLAINTEXT",
				"sasl.mechanism": m.mechanism, "sasl.jaas.config": jaas(m.module, "alice", secret)}
			c := clientOf(t, cluster.ListenAddrs()[0], props)
			a := NewAdmin(c)
			defer a.Close()
			wire, err := NewWire(c)
			if err != nil {
				t.Fatal(err)
			}
			defer wire.Close()
			use := func() error {
				wires.cut()
				_, err := a.Topics(within(t, patience))
				_, wireErr := wire.Leaders(within(t, patience), []string{"none"})
				return errors.Join(err, wireErr)
			}
			if err := use(); err != nil {
				t.Fatal(err)
			}
			for _, wrong := range []map[string]string{
				with(props, "sasl.jaas.config", "x"), with(props, "security.protocol", "PLAINTEXT"),
				with(props, "sasl.mechanism", "SCRAM-SHA-512", "sasl.jaas.config", jaas(scramModule, "alice", secret)),
			} {
				if err := c.Renew(wrong); err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("renewed by %v: %v", wrong, err)
				}
			}
			if err := use(); err != nil {
				t.Fatalf("after refused renewals: %v", err)
			}
			if err := c.Renew(with(props, "sasl.jaas.config", jaas(m.module, "bob", "another"))); err != nil {
				t.Fatal(err)
			}
			if err := use(); err != nil {
				t.Fatalf("after the renewal: %v", err)
			}
			if !strings.Contains(c.String(), " as bob") {
				t.Errorf("it is %s", c)
			}
			if err := c.Renew(with(props, "sasl.jaas.config", jaas(m.module, "bob", "wrong"))); err != nil {
				t.Fatal(err)
			}
			if err := use(); err == nil {
				t.Error("the renewed password is not the one that is used")
			}
		})
	}
}

// TestAnEndedLogin: a broker that believes a login for a while only (connections.max.reauth.ms) is asked by a new connection after it.
func TestAnEndedLogin(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", secret))
	var logins atomic.Int32
	cluster.ControlKey(kmsg.SASLAuthenticate.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		logins.Add(1)
		return nil, nil, false
	})
	c := clientOf(t, cluster.ListenAddrs()[0], map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
		"sasl.jaas.config": jaas(plainModule, "alice", secret)})
	conn, err := loggedIn{c}.Dial("tcp", cluster.ListenAddrs()[0])
	if err != nil || logins.Load() != 1 {
		t.Fatalf("%d logins, %v", logins.Load(), err)
	}
	defer conn.Close()
	ended := &expiring{Conn: conn, end: time.Now().Add(-time.Second)}
	if n, err := ended.Write([]byte("x")); n != 0 || !stale(err) {
		t.Errorf("%d bytes were written, %v", n, err)
	}
}

// jwt is a token that ends after a time, without a signature.
func jwt(lasts time.Duration) string {
	claims := fmt.Sprintf(`{"sub":"mirror","exp":%d}`, time.Now().Add(lasts).Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// words are what a mechanism says first.
func words(t *testing.T, props map[string]string) (string, error) {
	t.Helper()
	l, err := parseSASL(props, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, first, err := l.mechanism.Authenticate(t.Context(), "b-1.kafka.eu-west-1.amazonaws.com:9098")
	return string(first), err
}

func TestOAuthTokens(t *testing.T) {
	var asked atomic.Int32
	var answer atomic.Value
	token := jwt(time.Hour)
	answer.Store(`{"access_token":"` + token + `","expires_in":3600}`)
	status := http.StatusOK
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		user, password, _ := r.BasicAuth()
		if user != "id" || password != secret || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "read write" {
			t.Errorf("asked as %q for %v", user, r.Form)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, answer.Load())
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ssl := fmt.Sprintf(` ssl.truststore.type="PEM" ssl.truststore.location="%s"`, ca)
	inJAAS := map[string]string{"sasl.mechanism": "OAUTHBEARER", oauthURL: server.URL, "sasl.login.retry.backoff.ms": "1",
		"sasl.jaas.config": `x.OAuthBearerLoginModule required clientId="id" clientSecret="` + secret + `" scope="read write" extension_logicalCluster="lkc"` + ssl + `;`}
	inKeys := map[string]string{"sasl.mechanism": "OAUTHBEARER", oauthURL: server.URL, oauthClientID: "id", oauthClientSecret: secret, oauthScope: "read write",
		"sasl.jaas.config": `x.OAuthBearerLoginModule required` + ssl + `;`}
	for name, props := range map[string]map[string]string{"options": inJAAS, "keys": inKeys} {
		want := "n,,\x01auth=Bearer " + token + "\x01"
		if name == "options" {
			want += "logicalCluster=lkc\x01"
		}
		if got, err := words(t, props); err != nil || got != want+"\x01" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}

	// What goes wrong is told in a line, without the secret, and says whether to try again.
	for _, test := range []struct {
		name, says string
		status     int
		answer     string
		kind       Kind
		times      int32
	}{
		{"refused", "invalid_client: unknown", 401, `{"error":"invalid_client","error_description":"unknown"}`, Authentication, 1},
		{"in trouble", "503 Service Unavailable", 503, `<html>` + secret, Unreachable, 3},
		{"no token", "no access_token", 200, `{"token":"` + secret + `"}`, Authentication, 1},
	} {
		status = test.status
		answer.Store(test.answer)
		asked.Store(0)
		_, err := words(t, inJAAS)
		if err == nil || Classify(err) != test.kind || !strings.Contains(Explain(err), test.says) || strings.Contains(err.Error(), secret) || asked.Load() != test.times {
			t.Errorf("%s: asked %d times, kind %d, %v", test.name, asked.Load(), Classify(err), err)
		}
	}
	strange := with(inJAAS, "sasl.jaas.config", strings.Replace(inJAAS["sasl.jaas.config"], ssl, "", 1))
	if _, err := words(t, strange); Classify(err) != Authentication || !strings.Contains(Explain(err), "unknown authority") {
		t.Errorf("an endpoint of an unknown authority: %v", err)
	}
	if _, err := words(t, with(inJAAS, oauthURL, "http://127.0.0.1:1/token")); Classify(err) != Unreachable || !strings.Contains(Explain(err), "connection refused") {
		t.Errorf("an endpoint that is away: %v", err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := words(t, with(inJAAS, oauthURL, "file://"+file)); err != nil || !strings.Contains(got, token) {
		t.Errorf("from a file: %q, %v", got, err)
	}
}

// TestTokensAreRenewedBeforeTheirEnd: after four fifths of its time, and served on while there is no other.
func TestTokensAreRenewedBeforeTheirEnd(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	fetched, away := 0, false
	all := &tokens{fetch: func(context.Context) (token, error) {
		if away {
			return token{}, errors.New("away")
		}
		fetched++
		return tokenOf(fmt.Sprint("t", fetched), 100*time.Second, start), nil
	}}
	for _, step := range []struct {
		at   time.Duration
		away bool
		want string
	}{
		{0, false, "t1"}, {79 * time.Second, false, "t1"}, {81 * time.Second, true, "t1"}, {99 * time.Second, true, "t1"}, {100 * time.Second, true, ""}, {101 * time.Second, false, "t2"},
	} {
		away = step.away
		got, err := all.current(t.Context(), start.Add(step.at))
		if got != step.want || (err != nil) != (step.want == "") {
			t.Errorf("at %v: %q, %v", step.at, got, err)
		}
	}
	if ends := tokenOf(jwt(time.Hour), time.Minute, start).end; ends.Before(start.Add(50 * time.Minute)) {
		t.Errorf("a token's own word does not count: %v", ends)
	}
}

func TestAWSWords(t *testing.T) {
	for key, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "session", "AWS_REGION": "eu-west-1"} {
		t.Setenv(key, value)
	}
	first, err := words(t, map[string]string{"sasl.mechanism": "AWS_MSK_IAM", "sasl.jaas.config": "software.amazon.msk.auth.iam.IAMLoginModule required;",
		"sasl.client.callback.handler.class": "software.amazon.msk.auth.iam.IAMClientCallbackHandler"})
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]string
	if err := json.Unmarshal([]byte(first), &said); err != nil {
		t.Fatal(err)
	}
	if said["action"] != "kafka-cluster:Connect" || said["host"] != "b-1.kafka.eu-west-1.amazonaws.com" || said["x-amz-security-token"] != "session" ||
		!strings.HasPrefix(said["x-amz-credential"], "AKIDEXAMPLE/") || !strings.Contains(said["x-amz-credential"], "/eu-west-1/kafka-cluster/") ||
		said["x-amz-signature"] == "" || strings.Contains(first, secret) {
		t.Errorf("said %v", said)
	}
}

func TestAWSProfile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = "+secret+"\nregion = eu-west-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	first, err := words(t, map[string]string{"sasl.mechanism": "AWS_MSK_IAM", "sasl.jaas.config": `software.amazon.msk.auth.iam.IAMLoginModule required awsProfileName="other";`})
	if err != nil || !strings.Contains(first, "AKIDOTHER/") {
		t.Errorf("said %s, %v", first, err)
	}
}

// What a login needs here may be missing for a while: it is told as such, and tried again.
func TestALoginThatLacksAFile(t *testing.T) {
	cluster, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", secret))
	cluster.ControlKey(kmsg.SASLHandshake.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return req.ResponseKind(), nil, true // it takes any mechanism
	})
	for library, err := range reach(t, cluster.ListenAddrs()[0], map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER",
		oauthURL: "file:///nowhere/token", "sasl.jaas.config": "x.OAuthBearerLoginModule required;"}) {
		if Classify(err) != Unreachable || !strings.Contains(Explain(err), "/nowhere/token") {
			t.Errorf("%s: kind %d: %s (%v)", library, Classify(err), Explain(err), err)
		}
	}
}

func TestKerberosSettings(t *testing.T) {
	module := "com.sun.security.auth.module.Krb5LoginModule required "
	for _, test := range []struct{ name, options, service, says string }{
		{"a keytab", `useKeyTab=true storeKey=true keyTab="/k" principal="mirror@EXAMPLE.COM"`, "kafka", ""},
		{"the service as an option", `useKeyTab=true keyTab="/k" principal="mirror@EXAMPLE.COM" serviceName="kafka"`, "", ""},
		{"a ticket cache", `useTicketCache=true`, "kafka", ""},
		{"no service", `useKeyTab=true keyTab="/k" principal="mirror"`, "", "sasl.kerberos.service.name"},
		{"two services", `useKeyTab=true keyTab="/k" principal="mirror" serviceName="other"`, "kafka", "serviceName"},
		{"no principal", `useKeyTab=true keyTab="/k"`, "kafka", "principal"},
		{"nothing to log in by", `principal="mirror"`, "kafka", "useKeyTab"},
	} {
		l, err := parseSASL(map[string]string{"sasl.mechanism": "GSSAPI", "sasl.jaas.config": module + test.options + ";", "sasl.kerberos.service.name": test.service}, nil)
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil && l.mechanism.Name() != "GSSAPI" {
			t.Errorf("%s: %s", test.name, l.mechanism.Name())
		}
	}
}
