package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"

	"tandem/internal/stream"
)

// loggedIn makes connections for sarama, which asks for them as a proxy's. They come with TLS and SASL done: sarama has
// fewer mechanisms than franz-go, keeps credentials as they were when it was set up, and drops the broker's reasons.
type loggedIn struct{ client Client }

// Dial implements the interface by which sarama takes a proxy.
func (d loggedIn) Dial(network, address string) (net.Conn, error) {
	c := d.client
	ctx, cancel := context.WithTimeout(context.Background(), c.setupTimeout+c.requestTimeout)
	defer cancel()
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if _, login := c.security.current(); login == nil {
		return conn, nil
	}
	x := exchange{conn: conn, client: c.id}
	lifetime, err := x.logIn(ctx, address, renewable{c.security}, c.requestTimeout)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if lifetime > 0 {
		return &expiring{Conn: conn, end: time.Now().Add(lifetime - lifetime/10)}, nil
	}
	return conn, nil
}

// expiring is a connection whose login the broker will not honour for longer (connections.max.reauth.ms). Nothing is written
// after that, so that a request is surely not sent and the next connection can have it.
type expiring struct {
	net.Conn
	end time.Time
}

func (e *expiring) Write(p []byte) (int, error) {
	if time.Now().After(e.end) {
		return 0, &net.OpError{Op: "write", Net: "tcp", Addr: e.RemoteAddr(), Err: net.ErrClosed}
	}
	return e.Conn.Write(p)
}

// exchange is a connection on which one request follows the answer to the other.
type exchange struct {
	conn   net.Conn
	client string // client.id
	sent   int32
}

// mostLogin bounds an answer to the requests of a login.
const mostLogin = 1 << 20

// logIn proves who we are (KIP-152) and returns for how long the broker believes it, 0 for ever.
func (x *exchange) logIn(ctx context.Context, address string, mechanism sasl.Mechanism, patience time.Duration) (time.Duration, error) {
	if err := x.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	version, err := x.version()
	if err != nil {
		return 0, err
	}
	if err := x.handshake(mechanism.Name()); err != nil {
		return 0, err
	}
	session, words, err := mechanism.Authenticate(ctx, address)
	if err != nil {
		return 0, err
	}
	var lifetime time.Duration
	for done := false; !done || len(words) > 0; {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = version, words
		resp := kmsg.NewPtrSASLAuthenticateResponse()
		if err := x.ask(req, resp); err != nil {
			return 0, fmt.Errorf("authenticate: %w", err)
		}
		if err := brokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
			return 0, fmt.Errorf("authenticate: %w", err)
		}
		lifetime = time.Duration(min(resp.SessionLifetimeMillis, int64(24*time.Hour/time.Millisecond))) * time.Millisecond
		if words = nil; !done {
			if done, words, err = session.Challenge(resp.SASLAuthBytes); err != nil {
				return 0, fmt.Errorf("log in by %s: %w", mechanism.Name(), err)
			}
		}
	}
	return lifetime, x.conn.SetDeadline(time.Time{})
}

// version is the one of SaslAuthenticate to use: from 1 on the answer says how long the login lasts.
func (x *exchange) version() (int16, error) {
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := x.ask(kmsg.NewPtrApiVersionsRequest(), resp); err != nil {
		return 0, fmt.Errorf("read api versions: %w", err)
	}
	for _, k := range resp.ApiKeys {
		if k.ApiKey == kmsg.SASLAuthenticate.Int16() {
			return min(k.MaxVersion, 1), nil
		}
	}
	return 0, errors.New("log in: the broker knows no SaslAuthenticate; it needs Kafka 1.0 or newer")
}

func (x *exchange) handshake(mechanism string) error {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Version, req.Mechanism = 1, mechanism
	resp := kmsg.NewPtrSASLHandshakeResponse()
	if err := x.ask(req, resp); err != nil {
		return fmt.Errorf("begin to log in: %w", err)
	}
	err := brokerError(resp.ErrorCode, nil)
	if refused, ok := errors.AsType[*stream.BrokerError](err); ok && len(resp.SupportedMechanisms) > 0 {
		refused.Message = fmt.Sprintf("the listener takes sasl.mechanism %s, not %s", strings.Join(resp.SupportedMechanisms, " or "), mechanism)
	}
	if err != nil {
		return fmt.Errorf("begin to log in: %w", err)
	}
	return nil
}

// ask sends a request, of a version without tagged fields, and reads its answer:
//
//	size i32 | correlation id i32 | answer
func (x *exchange) ask(req kmsg.Request, resp kmsg.Response) error {
	x.sent++
	resp.SetVersion(req.GetVersion())
	words := kmsg.NewRequestFormatter(kmsg.FormatterClientID(x.client)).AppendRequest(nil, req, x.sent)
	if _, err := x.conn.Write(words); err != nil {
		return err
	}
	var head [8]byte
	if _, err := io.ReadFull(x.conn, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:4])
	if size < 4 || size > mostLogin || binary.BigEndian.Uint32(head[4:]) != uint32(x.sent) {
		return errors.New("the answer is not one of Kafka")
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(x.conn, body); err != nil {
		return err
	}
	return resp.ReadFrom(body)
}
