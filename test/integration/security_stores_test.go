package integration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"software.sslmate.com/src/go-pkcs12"
)

// authority signs the certificates of a test and keeps what it makes in files.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // PEM
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, file: filepath.Join(dir, name+".pem")}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	replace(t, a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // both
}

// issue signs a certificate, valid for so long from an hour ago, or ended an hour ago.
func (a *authority) issue(name, host string, expired bool) issued {
	a.t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	if expired {
		template.NotAfter = time.Now().Add(-time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	return issued{cert, key, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)}
}

// broker is the settings of a listener with a certificate for a host; a broker takes PEM.
func (a *authority) broker(name, host string, expired bool) map[string]string {
	a.t.Helper()
	file := filepath.Join(a.dir, name+".broker.pem")
	replace(a.t, file, a.issue(name, host, expired).pem)
	return map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.location": file, "ssl.truststore.type": "PEM", "ssl.truststore.location": a.file,
	}
}

// keystore has keytool write a keystore of a kind into a file, in the place of what is there.
func (a *authority) keystore(file, kind, password string, of issued) string {
	a.t.Helper()
	made, err := pkcs12.Modern.Encode(of.key, of.cert, []*x509.Certificate{a.cert}, password)
	if err != nil {
		a.t.Fatal(err)
	}
	from, to := filepath.Join(a.t.TempDir(), "from.p12"), filepath.Join(a.t.TempDir(), "to")
	replace(a.t, from, made)
	keytool(a.t, "-importkeystore", "-srckeystore", from, "-srcstoretype", "PKCS12", "-srcstorepass", password,
		"-destkeystore", to, "-deststoretype", kind, "-deststorepass", password)
	return moved(a.t, to, filepath.Join(a.dir, file))
}

// truststore has keytool write a truststore that holds authorities.
func truststore(t *testing.T, file, kind, password string, all ...*authority) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "to")
	for _, a := range all {
		keytool(t, "-importcert", "-noprompt", "-alias", a.cert.Subject.CommonName, "-file", a.file,
			"-keystore", to, "-storetype", kind, "-storepass", password)
	}
	return moved(t, to, filepath.Join(all[0].dir, file))
}

func keytool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("keytool", args...).CombinedOutput(); err != nil {
		t.Fatalf("keytool %v: %v\n%s", args, err, out)
	}
}

// replace puts a file in place of another at once, as whoever renews certificates should.
func replace(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	moved(t, file+".new", file)
}

func moved(t *testing.T, from, to string) string {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// tokenEndpoint gives tokens for client credentials, which a broker can check by a file of keys.
type tokenEndpoint struct {
	url, keys string
	given     atomic.Int32
}

// newTokenEndpoint speaks HTTPS. Its tokens end soon, so that who uses them has to come back.
func newTokenEndpoint(t *testing.T, a *authority, id, secret string, lasts time.Duration) *tokenEndpoint {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	e := &tokenEndpoint{keys: filepath.Join(a.dir, "keys.json")}
	replace(t, e.keys, fmt.Appendf(nil, `{"keys":[{"kty":"RSA","alg":"RS256","use":"sig","kid":"k","n":%q,"e":"AQAB"}]}`, b64(key.N.Bytes())))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		user, password, _ := r.BasicAuth()
		if user != id || password != secret || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"the client is not known by this secret"}`)
			return
		}
		now := time.Now()
		claims, _ := json.Marshal(map[string]any{"sub": id, "iss": "test", "aud": "kafka", "scope": "kafka", "iat": now.Unix(), "exp": now.Add(lasts).Unix()})
		text := b64([]byte(`{"alg":"RS256","typ":"JWT","kid":"k"}`)) + "." + b64(claims)
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Error(err)
		}
		e.given.Add(1)
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, text+"."+b64(signature), int(lasts.Seconds()))
	}))
	own := a.issue("token endpoint", "127.0.0.1", false)
	pair, err := tls.X509KeyPair(own.pem, own.pem)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	e.url = server.URL + "/token"
	return e
}

// scramUser gives a user a password for both mechanisms of SCRAM.
func (s side) scramUser(user, password string) {
	s.t.Helper()
	for mechanism, h := range map[int8]func() hash.Hash{1: sha256.New, 2: sha512.New} {
		up := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		up.Name, up.Mechanism, up.Iterations, up.Salt = user, mechanism, 4096, []byte(rand.Text())
		var err error
		if up.SaltedPassword, err = pbkdf2.Key(h, password, up.Salt, 4096, h().Size()); err != nil {
			s.t.Fatal(err)
		}
		req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest() // which takes a user once
		req.Upsertions = append(req.Upsertions, up)
		resp, err := req.RequestWith(s.t.Context(), s.client)
		if err == nil {
			err = kerr.ErrorForCode(resp.Results[0].ErrorCode)
		}
		if err != nil {
			s.t.Fatalf("set the password of %s: %v", user, err)
		}
	}
}
