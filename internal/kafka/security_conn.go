package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// connectionError is why a connection did not come to be usable, in words for a person, with what is known here and the
// libraries do not know: our own certificate, and whether the broker asked for it.
type connectionError struct {
	kind Kind // Authentication or Unreachable
	says string
	err  error
}

func (e *connectionError) Error() string { return e.says }
func (e *connectionError) Unwrap() error { return e.err }

// dial makes a connection for either library, up to the TLS handshake, with the stores of this moment.
func (c Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.setupTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	stores, _ := c.security.current()
	if stores == nil {
		return &firstWords{Conn: raw, judge: func(heard []byte, err error) error { return judgePlain(address, heard, err) }}, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	h := handshake{address: address, held: stores.current()}
	conn := tls.Client(raw, h.config(host))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, h.judge(err, false)
	}
	// With TLS 1.3 the broker looks at our certificate after we take the handshake for done.
	return &firstWords{Conn: conn, judge: func(_ []byte, err error) error { return h.judge(err, true) }}, nil
}

// firstWords is a connection that has something to say when nothing, or nothing good, is heard first.
type firstWords struct {
	net.Conn
	judge func(heard []byte, err error) error
	heard atomic.Bool
}

func (f *firstWords) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if f.heard.Load() || len(p) == 0 {
		return n, err
	}
	err = f.judge(p[:n], err)
	if n > 0 {
		f.heard.Store(true)
	}
	return n, err
}

// judgePlain knows a TLS alert, which is how a listener with TLS answers plain words: type 21, version 3.x.
func judgePlain(address string, heard []byte, err error) error {
	if len(heard) >= 3 && heard[0] == 21 && heard[1] == 3 {
		return &connectionError{Authentication, fmt.Sprintf("the listener at %s speaks TLS, and security.protocol says that it does not", address), err}
	}
	return err
}

// handshake is one TLS handshake.
type handshake struct {
	address string
	held    held
	asked   bool             // the broker wanted a certificate of ours
	sent    *tls.Certificate // what it got
}

func (h *handshake) config(host string) *tls.Config {
	conf := h.held.conf.Clone()
	conf.ServerName = host
	conf.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		h.asked = true
		for i := range conf.Certificates {
			if info.SupportsCertificate(&conf.Certificates[i]) == nil {
				h.sent = &conf.Certificates[i]
				return h.sent, nil
			}
		}
		return new(tls.Certificate), nil
	}
	return conf
}

// judge says why a handshake failed; done tells that it had succeeded as far as we can see.
func (h *handshake) judge(err error, done bool) error {
	if err == nil {
		return nil
	}
	alert := false
	if network, ok := errors.AsType[*net.OpError](err); ok && network.Op == "remote error" {
		alert = true
	}
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	reason := tlsReason(err)
	switch {
	case h.asked && (alert || ended) && h.fault() != "":
		return h.failed(h.fault(), err)
	case alert && h.sent != nil:
		return h.failed(fmt.Sprintf("%s (our certificate is %s)", reason, h.subject()), err)
	case done:
		return err // not an end that the handshake explains
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return h.failed("the broker's certificate is not accepted: "+reason, err)
	case reason != "":
		return h.failed(reason, err)
	case ended:
		return &connectionError{Unreachable, fmt.Sprintf("TLS handshake with %s failed: the broker closed the connection "+
			"(it stopped, or its listener does not speak TLS: check security.protocol and the port)", h.address), err}
	case errors.Is(err, context.DeadlineExceeded):
		return &connectionError{Unreachable, fmt.Sprintf("TLS handshake with %s failed: no answer in time (does the listener "+
			"speak TLS? check security.protocol and the port)", h.address), err}
	}
	return err
}

func (h *handshake) failed(why string, err error) error {
	return &connectionError{Authentication, fmt.Sprintf("TLS handshake with %s failed: %s", h.address, why), err}
}

// fault is what is wrong with what we showed, as far as we can tell.
func (h *handshake) fault() string {
	switch {
	case len(h.held.conf.Certificates) == 0:
		return "the broker asks for a client certificate, and ssl.keystore is not set"
	case h.sent == nil:
		return "the broker asks for a client certificate, and trusts none of the authorities that issued those of ssl.keystore"
	}
	leaf, now := h.leaf(), time.Now()
	switch {
	case leaf == nil:
		return ""
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("the broker refused our certificate %s, which expired at %s", h.subject(), leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("the broker refused our certificate %s, which is not valid before %s", h.subject(), leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return ""
}

func (h *handshake) leaf() *x509.Certificate {
	leaf, err := x509.ParseCertificate(h.sent.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

// subject names our certificate and its file.
func (h *handshake) subject() string {
	name := "of ssl.keystore"
	if leaf := h.leaf(); leaf != nil {
		name = leaf.Subject.String()
	}
	for _, c := range h.held.certificates {
		if !c.Trusted && c.File != "" && bytes.Contains([]byte(name), []byte(c.Subject)) {
			return name + " of " + c.File
		}
	}
	return name
}
