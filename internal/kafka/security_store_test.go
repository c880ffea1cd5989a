package kafka

import (
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/youmark/pkcs8"
)

// storePassword opens the files of testdata/stores, which keytool of JDK 17 and openssl have made: key.* hold CN=mirror with its
// chain, trust.* hold CN=authority and CN=mirror.
const storePassword = "st0re-s3cret"

func TestStoresOfOtherPrograms(t *testing.T) {
	for _, test := range []struct {
		file, kind string
		key        string // ssl.key.password
		want       int    // certificates of the chain
	}{
		{"key.JKS", "JKS", "", 2},
		{"key.JKS", "", "", 2},       // JKS is Kafka's default
		{"key.JKS", "PKCS12", "", 2}, // Java reads either under either name
		{"key.PKCS12", "JKS", "", 2}, // as keytool writes since Java 9; an authority stands beside the key
		{"key.PKCS12", "PKCS12", "", 2},
		{"openssl.p12", "PKCS12", "", 2},
		{"legacy.p12", "PKCS12", "", 2},
		{"otherkey.JKS", "JKS", "an0ther-s3cret", 2},
		{"encrypted.pem", "PEM", storePassword, 1},
	} {
		t.Run(test.file+" as "+test.kind, func(t *testing.T) {
			props := map[string]string{"ssl.keystore.type": test.kind, "ssl.keystore.location": filepath.Join("testdata/stores", test.file),
				"ssl.keystore.password": storePassword, "ssl.key.password": test.key}
			got, err := clientCertificates(props)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || len(got[0].Certificate) != test.want || got[0].Leaf.Subject.CommonName != "mirror" {
				t.Fatalf("%d keys, %d certificates, of %v", len(got), len(got[0].Certificate), got[0].Leaf.Subject)
			}
			wrong := with(props, "ssl.keystore.password", secret, "ssl.key.password", secret)
			if _, err := clientCertificates(wrong); err == nil || !strings.Contains(err.Error(), "does not open") || strings.Contains(err.Error(), secret) {
				t.Errorf("with a wrong password: %v", err)
			}
		})
	}
	for _, test := range []struct {
		file, password string
		want           []string
	}{
		{"trust.JKS", storePassword, []string{"authority", "mirror"}},
		{"trust.JKS", "", []string{"authority", "mirror"}}, // Java does not check then
		{"trust.PKCS12", storePassword, []string{"authority", "mirror"}},
	} {
		got, err := trustedCertificates(map[string]string{"ssl.truststore.location": filepath.Join("testdata/stores", test.file), "ssl.truststore.password": test.password})
		var names []string
		for _, c := range got {
			names = append(names, c.Subject.CommonName)
		}
		if slices.Sort(names); err != nil || !slices.Equal(names, test.want) {
			t.Errorf("%s by %q: %q, %v", test.file, test.password, names, err)
		}
	}
	wrong := map[string]string{"ssl.keystore.location": "testdata/stores/otherkey.JKS", "ssl.keystore.password": storePassword}
	if _, err := clientCertificates(wrong); err == nil || !strings.Contains(err.Error(), "ssl.key.password") {
		t.Errorf("a key of another password: %v", err)
	}
}

// TestStoresThatAreCutShort: a file that somebody is writing is an error, wherever it ends.
func TestStoresThatAreCutShort(t *testing.T) {
	for _, name := range []string{"key.JKS", "key.PKCS12", "encrypted.pem"} {
		whole, err := os.ReadFile(filepath.Join("testdata/stores", name))
		if err != nil {
			t.Fatal(err)
		}
		kind := ""
		if strings.HasSuffix(name, ".pem") {
			kind, whole = "PEM", []byte(strings.TrimSpace(string(whole)))
		}
		file := filepath.Join(t.TempDir(), name)
		for n := 0; n < len(whole); n += 7 {
			if err := os.WriteFile(file, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := clientCertificates(map[string]string{"ssl.keystore.type": kind, "ssl.keystore.location": file,
				"ssl.keystore.password": storePassword, "ssl.key.password": storePassword}); err == nil {
				t.Fatalf("%s is taken with %d of %d bytes", name, n, len(whole))
			}
		}
	}
}

// writeJKS is the format once more, in the other direction.
func writeJKS(t testing.TB, password string, key any, chain, trusted [][]byte) []byte {
	t.Helper()
	var out []byte
	number := func(n int) { out = binary.BigEndian.AppendUint32(out, uint32(n)) }
	short := func(s string) { out = append(binary.BigEndian.AppendUint16(out, uint16(len(s))), s...) }
	long := func(b []byte) { number(len(b)); out = append(out, b...) }
	number(jksMagic)
	number(2)
	number(1 + len(trusted))
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	word := []byte("twenty bytes of salt")
	data := slices.Clone(word)
	for i, b := range plain {
		if i%sha1.Size == 0 {
			sum := sha1.Sum(append(javaBytes(password), word...))
			word = sum[:]
		}
		data = append(data, b^word[i%sha1.Size])
	}
	check := sha1.Sum(append(javaBytes(password), plain...))
	type algorithm struct {
		ID   asn1.ObjectIdentifier
		Null asn1.RawValue
	}
	info, err := asn1.Marshal(struct {
		Algorithm algorithm
		Data      []byte
	}{algorithm{jksProtection, asn1.NullRawValue}, append(data, check[:]...)})
	if err != nil {
		t.Fatal(err)
	}
	number(1)
	short("key")
	out = append(out, make([]byte, 8)...)
	long(info)
	number(len(chain))
	for _, c := range chain {
		short("X.509")
		long(c)
	}
	for _, c := range trusted {
		number(2)
		short("trusted")
		out = append(out, make([]byte, 8)...)
		short("X.509")
		long(c)
	}
	sum := sha1.Sum(slices.Concat(javaBytes(password), []byte(jksWhitener), out))
	return append(out, sum[:]...)
}

// TestJKSReadsWhatIsWritten, by passwords that a hash sees otherwise than a person.
func TestJKSReadsWhatIsWritten(t *testing.T) {
	ca := newAuthority(t, "ours")
	for _, password := range []string{"changeit", "pässwörd", "€𝄞"} {
		j, err := parseJKS(writeJKS(t, password, ca.key, [][]byte{ca.cert.Raw}, [][]byte{ca.cert.Raw, ca.cert.Raw}), password)
		if err != nil || len(j.keys) != 1 || len(j.trusted) != 2 {
			t.Fatalf("%q: %d keys, %d trusted, %v", password, len(j.keys), len(j.trusted), err)
		}
		der, err := j.keys[0].open(password)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := x509.ParsePKCS8PrivateKey(der); err != nil || !ca.key.Equal(key) {
			t.Errorf("%q: another key, %v", password, err)
		}
	}
}

// FuzzJKS: whatever a file holds, reading it ends, and takes no more memory than the file has.
func FuzzJKS(f *testing.F) {
	for _, name := range []string{"key.JKS", "trust.JKS"} {
		content, err := os.ReadFile(filepath.Join("testdata/stores", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		j, err := parseJKS(content, "")
		if err != nil {
			return
		}
		held := 0
		for _, k := range j.keys {
			held += len(k.protected)
			for _, c := range k.chain {
				held += len(c)
			}
			_, _ = k.open(storePassword)
		}
		for _, c := range j.trusted {
			held += len(c)
		}
		if held > len(content) {
			t.Errorf("%d bytes of %d", held, len(content))
		}
	})
}

func TestEncryptedPEM(t *testing.T) {
	ca := newAuthority(t, "ours")
	for _, opts := range []*pkcs8.Opts{
		nil,
		{Cipher: pkcs8.AES128CBC, KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 8, IterationCount: 2048, HMACHash: 5}},
		{Cipher: pkcs8.AES256CBC, KDFOpts: pkcs8.ScryptOpts{SaltSize: 8, CostParameter: 16, BlockSize: 8, ParallelizationParameter: 1}},
	} {
		der, err := pkcs8.MarshalPrivateKey(ca.key, []byte(secret), opts)
		if err != nil {
			t.Fatal(err)
		}
		text := ca.pem + string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
		if _, err := pemCertificate([]byte(text), secret); err != nil {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

// TestRenewedFiles: a certificate that is replaced is shown on the next connection; one that is broken is told once, and the
// earlier one goes on.
func TestRenewedFiles(t *testing.T) {
	ours := newAuthority(t, "ours")
	conf := ours.listener(t, "127.0.0.1")
	var seen []string
	conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, ours.pool()
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		seen = append(seen, s.PeerCertificates[0].Subject.CommonName)
		return nil
	}
	cluster, wires := fakeCluster(t, kfake.NumBrokers(1), kfake.TLS(conf))
	file := filepath.Join(t.TempDir(), "client.pem")
	put := func(text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	chain, key := ours.issue(t, "one")
	put(chain + key)
	c := clientOf(t, cluster.ListenAddrs()[0], map[string]string{"security.protocol": "SSL", "ssl.truststore.type": "PEM",
		"ssl.truststore.certificates": ours.pem, "ssl.keystore.type": "PEM", "ssl.keystore.location": file})
	var told []Renewal
	c.OnRenewal(func(r Renewal) { told = append(told, r) })
	a := NewAdmin(c)
	defer a.Close()
	wire, err := NewWire(c)
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	use := func() {
		t.Helper()
		wires.cut()
		if _, err := a.Topics(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Leaders(within(t, patience), []string{"none"}); err != nil {
			t.Fatal(err)
		}
	}
	use()
	put(chain) // the key is still to come
	use()
	use()
	if len(told) != 1 || told[0].File != file || told[0].Err == nil {
		t.Errorf("told of the broken file: %v", told)
	}
	if slices.Contains(seen, "two") || len(seen) < 4 {
		t.Errorf("seen %q", seen)
	}
	seen = nil
	chain, key = ours.issue(t, "two")
	put(chain + key)
	use()
	if len(told) != 2 || told[1].Err != nil {
		t.Errorf("told of the new file: %v", told)
	}
	if slices.Contains(seen, "one") || len(seen) < 2 {
		t.Errorf("after the change seen %q", seen)
	}
	all := c.Certificates()
	if len(all) != 2 || all[0].Subject != "CN=two" || all[0].File != file || all[0].Trusted || all[1].Subject != "CN=ours" || !all[1].Trusted || all[0].NotAfter.IsZero() {
		t.Errorf("certificates: %+v", all)
	}
}
