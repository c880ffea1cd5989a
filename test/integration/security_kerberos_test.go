package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tandem/internal/testkit/proc"
	"tandem/internal/testkit/realkafka"
)

// kdc is a MIT Kerberos of its own, with a keytab of the principals.
func kdc(t *testing.T, principals ...string) (conf, keytab string) {
	t.Helper()
	for _, program := range []string{"krb5kdc", "kdb5_util", "kadmin.local"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; Debian has it in krb5-kdc and krb5-admin-server", err)
		}
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	conf, keytab = filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "all.keytab")
	replace(t, conf, fmt.Appendf(nil, "[libdefaults]\n default_realm = EXAMPLE.COM\n dns_lookup_kdc = false\n dns_canonicalize_hostname = false\n rdns = false\n"+
		" udp_preference_limit = 1\n[realms]\n EXAMPLE.COM = {\n  kdc = %s\n }\n", address))
	replace(t, filepath.Join(dir, "kdc.conf"), fmt.Appendf(nil, "[realms]\n EXAMPLE.COM = {\n  kdc_listen = %[2]s\n  kdc_tcp_listen = %[2]s\n"+
		"  database_name = %[1]s/principal\n  key_stash_file = %[1]s/stash\n  acl_file = %[1]s/acl\n }\n", dir, address))
	t.Setenv("KRB5_CONFIG", conf)
	t.Setenv("KRB5_KDC_PROFILE", filepath.Join(dir, "kdc.conf"))
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	run("kdb5_util", "create", "-s", "-r", "EXAMPLE.COM", "-P", "master")
	for _, p := range principals {
		run("kadmin.local", "-q", "addprinc -randkey "+p)
		run("kadmin.local", "-q", "ktadd -k "+keytab+" "+p)
	}
	p, err := proc.Start(filepath.Join(dir, "kdc.log"), "krb5kdc", "-n", "-P", filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	eventually(t, "the KDC", func() error {
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	return conf, keytab
}

// TestKerberos reads and writes a cluster that knows its users by a KDC.
func TestKerberos(t *testing.T) {
	if !long() {
		t.Skip("TANDEM_LONG is not set")
	}
	conf, keytab := kdc(t, "mirror", "kafka/127.0.0.1")
	const module = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true "
	a, b := clusters(t)
	guarded := on(t, realkafka.Start(t, realkafka.Options{
		Config: map[string]string{"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS;User:mirror"},
		Listeners: []realkafka.Listener{{Name: "KERBEROS", Protocol: "SASL_PLAINTEXT", Config: map[string]string{
			"sasl.enabled.mechanisms":    "GSSAPI",
			"gssapi.sasl.jaas.config":    module + fmt.Sprintf(`keyTab="%s" principal="kafka/127.0.0.1@EXAMPLE.COM";`, keytab),
			"sasl.kerberos.service.name": "kafka",
		}}},
		JVM: []string{"-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.security.krb5.conf=" + conf},
	}))
	guarded.create("ticket-out", 1, 1, nil)
	guarded.write("ticket-out", numbered(100))
	a.create("ticket-in", 1, 1, nil)
	a.write("ticket-in", numbered(100))
	properties := func(keytab string) string {
		return oneBroker + quiet + "clusters = ticket, ticketA, ticketB\nticket->ticketB.enabled = true\nticket->ticketB.topics = ticket-out\n" +
			"ticketA->ticket.enabled = true\nticketA->ticket.topics = ticket-in\n" +
			"ticketA.bootstrap.servers = " + a.Bootstrap + "\nticketB.bootstrap.servers = " + b.Bootstrap + "\n" +
			cluster("ticket", map[string]string{
				"bootstrap.servers": guarded.Listener("KERBEROS"), "security.protocol": "SASL_PLAINTEXT", "sasl.kerberos.service.name": "kafka",
				"sasl.jaas.config": module + fmt.Sprintf(`keyTab="%s" principal="mirror@EXAMPLE.COM";`, keytab),
			})
	}
	m := startMirror(t, properties(keytab))
	m.until("the records out", b.holds("ticket.ticket-out", 100))
	m.until("the records in", guarded.holds("ticketA.ticket-in", 100))
	m.stop()

	missing := startMirror(t, properties(filepath.Join(os.TempDir(), "no-such.keytab")))
	missing.waitFor("read keytab", "no-such.keytab")
	missing.stop()
}
