package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// fakeCluster starts an in-process cluster whose connections a test can cut.
func fakeCluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, *wires) {
	t.Helper()
	w := &wires{}
	c, err := kfake.NewCluster(append(opts, kfake.ListenFn(w.listen))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, w
}

// wires holds the broker's side of all connections.
type wires struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (w *wires) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return wireListener{l, w}, err
}

// cut closes every connection, as a broker does with those that were idle for too long, and says how many there were.
func (w *wires) cut() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.conns)
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
	return n
}

type wireListener struct {
	net.Listener
	w *wires
}

func (l wireListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.w.mu.Lock()
		l.w.conns = append(l.w.conns, c)
		l.w.mu.Unlock()
	}
	return c, err
}

// clientOf parses properties for a fake cluster.
func clientOf(t *testing.T, bootstrap string, more map[string]string) Client {
	t.Helper()
	props := map[string]string{
		"bootstrap.servers":        bootstrap,
		"request.timeout.ms":       "5000",
		"retry.backoff.ms":         "5",
		"reconnect.backoff.ms":     "5",
		"reconnect.backoff.max.ms": "20",
	}
	maps.Copy(props, more)
	c, err := Parse(props)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// adminOf is an Admin of a fake cluster.
func adminOf(t *testing.T, bootstrap string, more map[string]string) *Admin {
	t.Helper()
	a := NewAdmin(clientOf(t, bootstrap, more))
	t.Cleanup(func() { a.Close() })
	return a
}

// within is a context that ends before the test run would.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// unusedAddress is an address on which nothing listens.
func unusedAddress(t *testing.T) (address string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String(), l.Addr().(*net.TCPAddr).Port
}

// authority is a certificate authority made for a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	ca := &authority{}
	ca.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	ca.cert, _ = x509.ParseCertificate(der)
	ca.pem = block("CERTIFICATE", der)
	return ca
}

// issue signs a certificate for a host name or address and returns chain and key as PEM.
func (ca *authority) issue(t *testing.T, host string) (chain, key string) {
	t.Helper()
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, k.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8)
}

// listener is a broker's TLS configuration with a certificate for host.
func (ca *authority) listener(t *testing.T, host string) *tls.Config {
	t.Helper()
	chain, key := ca.issue(t, host)
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

func (ca *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
