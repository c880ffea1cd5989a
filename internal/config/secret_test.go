package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretKeys are the settings of Kafka's clients that hold secrets: those of type PASSWORD, and some of plugins.
var secretKeys = []string{
	"sasl.jaas.config", "ssl.key.password", "ssl.keystore.key", "ssl.keystore.certificate.chain", "ssl.keystore.password",
	"ssl.truststore.certificates", "ssl.truststore.password", "sasl.oauthbearer.assertion.private.key.passphrase",
	"sasl.oauthbearer.client.credentials.client.secret", "schema.registry.basic.auth.user.info", "azure.account.key",
}

const theSecret = "s3cr3tXYZ"

// However a secret gets into the file, and whatever else is wrong there, no output shows it.
func TestSecretsAreNeverShown(t *testing.T) {
	prefixes := []string{"", "A.", "B.", "A.consumer.", "B.producer.", "A.admin.", "A->B.", "A->B.source.consumer.", "A->B.producer.override.", "C.", "A->C."}
	values := []string{theSecret, "x " + theSecret, "${env:X}" + theSecret, theSecret + "\\\n  " + theSecret, "user:" + theSecret, "\\u12" + theSecret}
	breaks := []string{"", "replication.factor = no\n", "A->B.topics = (\n"}
	for k, key := range secretKeys {
		for p, prefix := range prefixes {
			for v, value := range values {
				broken := breaks[(k+p+v)%len(breaks)] // each prefix meets each of them, and so does each value
				text := base + broken + prefix + key + " = " + value + "\n"
				c, err := read("mm2.properties", []byte(text), nil)
				assertHidden(t, text, outputs(c, err))
			}
		}
	}
}

// A value that spans lines without a backslash falls apart into keys.
func TestTornSecretsAreNotShown(t *testing.T) {
	for _, torn := range []string{
		"A.ssl.keystore.key = -----BEGIN PRIVATE KEY-----\nMIIE" + theSecret + "AbCd\n" + theSecret + "==\n-----END PRIVATE KEY-----",
		"A.sasl.jaas.config = X required\n  username=\"u\" password=\"" + theSecret + "\";",
		"A.sasl.jaas.config = X required\n  password=\"" + theSecret + "\";",
		"A.ssl.key.password =\n" + theSecret,
		"A.ssl.key.password =\n" + theSecret + "/with+more.dots",
	} {
		c, err := read("mm2.properties", []byte(base+torn), nil)
		assertHidden(t, torn, outputs(c, err))
	}
}

func TestSecretsFromProvidersAreNotShown(t *testing.T) {
	t.Setenv("PW", theSecret)
	const env = "config.providers = env\nconfig.providers.env.class = org.apache.kafka.common.config.provider.EnvVarConfigProvider\n"
	for _, line := range []string{"A.ssl.key.password = ${env:PW}", "tasks.max = ${env:PW}", "A.security.protocol = ${env:PW}", "A->B.topics = ${env:PW}("} {
		c, err := read("mm2.properties", []byte(base+env+line), nil)
		assertHidden(t, line, outputs(c, err))
		if strings.HasPrefix(line, "tasks") && (err == nil || !strings.Contains(err.Error(), `tasks.max = "${env:PW}"`)) {
			t.Errorf("the error does not show the placeholder: %v", err)
		}
	}
}

func outputs(c *Config, err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n%v %+v %#v\n", err, c, *c, *c)
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "%v %s\n", w, w)
	}
	fmt.Fprintf(&b, "%+v %+v\n", c.Effective(), Diff(&Config{}, c))
	for _, f := range c.Flows {
		for _, p := range []Properties{f.SourceConsumer, f.SourceProducer, f.SourceAdmin, f.TargetProducer, f.TargetAdmin} {
			text, _ := json.Marshal(p)
			fmt.Fprintf(&b, "%v %+v %#v %s %q %d %s\n", p, p, p, p, p, p, text)
		}
		text, _ := json.Marshal(f)
		fmt.Fprintf(&b, "%v %+v %#v %s\n", f, f, f, text)
	}
	return b.String()
}

func assertHidden(t *testing.T, text, output string) {
	t.Helper()
	if i := strings.Index(output, theSecret); i >= 0 {
		t.Fatalf("%s\nshows the secret: %s", text, output[max(0, i-200):i+20])
	}
}

func TestRedact(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"A->B.topics", "a.*", `"a.*"`},
		{"A.ssl.key.password", "x", hidden},
		{"A.SSL.Key.Password", "x", hidden},
		{"A.ssl.key.password", "${env:PW}", `"${env:PW}"`},
		{"A.ssl.key.password", "${env:PW}x", hidden},
		{"A.ssl.key.password", "${x}y}", hidden},
		{"proxy.url", "http://u:p@host/x", `"http://[hidden]@host/x"`},
	} {
		if got := Redact(c.key, c.value); got != c.want {
			t.Errorf("Redact(%s, %s) = %s, want %s", c.key, c.value, got, c.want)
		}
	}
	if got := (Properties{"ssl.key.password": "${" + theSecret + "}"}).String(); strings.Contains(got, theSecret) {
		t.Errorf("a resolved password that looks like a placeholder is shown: %s", got)
	}
	for _, k := range sharedKeys {
		if isSecret := slices.Contains(secretKeys, k); isSecret && !secret(k) {
			t.Errorf("%s is not secret", k)
		}
	}
	for _, k := range []string{"sasl.mechanism", "security.protocol", "ssl.keystore.location", "bootstrap.servers"} {
		if secret(k) {
			t.Errorf("%s is secret", k)
		}
	}
}

func TestProviders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secrets.properties")
	if err := os.WriteFile(file, []byte("pw = from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PW", "from-env")
	t.Setenv("ON", "true")
	const pkg = "org.apache.kafka.common.config.provider."
	declare := "config.providers = env, file, dir\nconfig.providers.env.class = " + pkg + "EnvVarConfigProvider\n" +
		"config.providers.file.class = " + pkg + "FileConfigProvider\nconfig.providers.dir.class = " + pkg + "DirectoryConfigProvider\n" +
		"config.providers.file.param.allowed.paths = " + dir + "\nconfig.providers.env.param.allowlist.pattern = PW|ON\n"
	for _, c := range []struct{ story, value, want, err string }{
		{"environment", "${env:PW}", "from-env", ""},
		{"text around it, twice", "<${env:PW}-${env:ON}>", "<from-env-true>", ""},
		{"file", "${file:" + file + ":pw}", "from-file", ""},
		{"directory", "${dir:" + dir + ":secrets.properties}", "pw = from-file\n", ""},
		{"undeclared stays", "${vault:x:y}", "${vault:x:y}", ""},
		{"no placeholder", "$env", "$env", ""},
		{"not set", "${env:ON}${env:NOPE_PW}", "", "resolve ${env:NOPE_PW}: the provider's allowlist.pattern does not allow environment variable NOPE_PW"},
		{"no such key", "${file:" + file + ":nope}", "", "has no key nope"},
		{"no such file", "${file:" + file + "x:pw}", "", "no such file"},
		{"outside", "${file:" + dir + "/../x:pw}", "", "outside of the provider's allowed.paths"},
		{"not a name", "${dir:" + dir + ":../x}", "", "is not the name of a file"},
	} {
		config, err := read("mm2.properties", []byte(base+declare+"A.sasl.kerberos.service.name = "+c.value+"\n"), nil)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "mm2.properties:11: ") {
				t.Errorf("%s: %v", c.story, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.story, err)
			continue
		}
		if got := flowOf(t, config, "A", "B").SourceConsumer["sasl.kerberos.service.name"]; got != c.want {
			t.Errorf("%s: %q", c.story, got)
		}
	}
	for _, c := range []struct{ story, text, want string }{
		{"variable not set", "config.providers = e\nconfig.providers.e.class = " + pkg + "EnvVarConfigProvider\nA.sasl.mechanism = ${e:NO_SUCH_VARIABLE}", "mm2.properties:7: A.sasl.mechanism: resolve ${e:NO_SUCH_VARIABLE}: environment variable NO_SUCH_VARIABLE is not set"},
		{"no class", "config.providers = e", "mm2.properties:5: config.providers: provider e has no class; add config.providers.e.class"},
		{"unknown class", "config.providers = e\nconfig.providers.e.class = com.example.Vault", `mm2.properties:6: config.providers.e.class = "com.example.Vault": is not available; allowed: EnvVarConfigProvider, FileConfigProvider and DirectoryConfigProvider of ` + pkg + "*"},
	} {
		if _, err := read("mm2.properties", []byte(base+c.text), nil); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.story, err)
		}
	}
	if c, err := read("mm2.properties", []byte(strings.Replace(base, "= true", "= ${env:ON}", 1)+declare), nil); err != nil || !flowOf(t, c, "A", "B").Enabled {
		t.Errorf("placeholders decide which pairs there are: %v", err)
	}
}
