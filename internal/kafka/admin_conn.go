package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Admin is the control plane's connection to one cluster. Its methods may be called at the same time. It starts nothing
// until it is first used, and a call that failed because the cluster was away does not spoil the next one.
type Admin struct {
	client Client

	// dial guards control while it is made, which may take as long as request.timeout.ms; mu guards the fields and is held
	// only for moments.
	dial    sync.Mutex
	mu      sync.Mutex
	closed  bool
	control sarama.Client // brokers and controller; nil until first used
	reader  *kgo.Client   // internal topics, groups, offsets by time; nil until first used

	coordinators coordinators
	appends      appender
}

// errClosed is the answer of an Admin after Close.
var errClosed = fmt.Errorf("admin client is closed: %w", sarama.ErrClosedClient)

// NewAdmin makes an Admin that will connect when it is first used.
func NewAdmin(c Client) *Admin {
	return &Admin{client: c, appends: appender{client: c, patience: 2 * c.requestTimeout}}
}

// Close ends all connections. Calls under way fail.
func (a *Admin) Close() error {
	a.mu.Lock()
	a.closed = true
	control, reader := a.control, a.reader
	a.control, a.reader = nil, nil
	a.mu.Unlock()
	var errs []error
	if control != nil {
		errs = append(errs, control.Close())
	}
	if reader != nil {
		reader.Close()
	}
	errs = append(errs, a.appends.close())
	return errors.Join(errs...)
}

// version is the newest set of requests that sarama may use.
func (a *Admin) version() sarama.KafkaVersion { return sarama.V3_8_0_0 }

// brokerTimeout is how long a controller may take to carry out a change.
func (a *Admin) brokerTimeout() time.Duration { return a.client.requestTimeout * 3 / 4 }

// route says which broker a request is for.
type route int8

const (
	anyBroker  route = iota
	controller       // with KRaft every broker passes it on; with ZooKeeper it must be the controller itself
)

// attempts bounds how many brokers one call is sent to: one that has just gone, a controller that has just moved, one more.
const attempts = 3

// ask sends one request and returns as soon as there is an answer or ctx ends. sarama knows no contexts, so the request
// runs beside it and, when ctx ends first, runs out by its own timeouts, unheard. Only requests that may be repeated go
// this way: one whose connection broke before the answer is sent again, for as long as request.timeout.ms.
func ask[T any](ctx context.Context, a *Admin, to route, request func(*sarama.Broker) (T, error)) (T, error) {
	return await(ctx, func() (T, error) {
		var none T
		start := time.Now()
		for attempt := 1; ; attempt++ {
			b, err := a.broker(ctx, to, attempt > 1)
			if err != nil {
				return none, err
			}
			answer, err := request(b)
			if stale(err) {
				if b, err = a.reopen(b); err == nil {
					answer, err = request(b)
				}
			}
			if err == nil {
				return answer, nil
			}
			moved := errors.Is(err, sarama.ErrNotController)
			broken := !moved && Classify(err) == Unreachable
			if broken {
				_ = b.Close() // what failed once fails for ever; the next use opens a new connection
			}
			if attempt == attempts || !moved && !broken || time.Since(start) >= a.client.requestTimeout {
				return none, inKafkasWords(err)
			}
			if err := wait(ctx, a.client.backoff(attempt)); err != nil {
				return none, err
			}
		}
	})
}

// stale says that a connection broke which had been made before: most often the broker has closed it because it was idle
// (connections.max.idle.ms), and all others with it.
func stale(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, sarama.ErrNotConnected) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// reopen connects to a broker anew, unless the cluster has lost it meanwhile: a connection to a broker that sarama does not
// keep would never be closed.
func (a *Admin) reopen(b *sarama.Broker) (*sarama.Broker, error) {
	_ = b.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.control == nil {
		return b, errClosed
	}
	kept, err := a.control.Broker(b.ID())
	if err != nil {
		return b, err
	}
	return kept, nil
}

// inKafkasWords turns an error code in sarama's shape into that of this package.
func inKafkasWords(err error) error {
	if code, ok := errors.AsType[sarama.KError](err); ok {
		return brokerError(int16(code), nil)
	}
	return err
}

// await runs f beside the caller and ends with ctx or with f, whichever is first.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1) // roomy, so that an unheard f can end
	go func() {
		value, err := f()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// wait passes the time, unless ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// broker picks a broker to ask. With refresh the cluster is first asked which brokers it has.
func (a *Admin) broker(ctx context.Context, to route, refresh bool) (*sarama.Broker, error) {
	control, fresh, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	if brokers := control.Brokers(); !fresh && (refresh || len(brokers) == 0) {
		// An error that names topics (no leader, not authorized) does not matter here: brokers answered.
		if err := control.RefreshMetadata(); err != nil && len(control.Brokers()) == 0 {
			return nil, err
		} else if kind := Classify(err); kind == Unreachable || kind == Authentication {
			return nil, err
		}
	}
	if to == controller {
		b, err := control.Controller()
		if err == nil {
			return b, nil
		}
		if Classify(err) == Unreachable {
			return nil, err
		}
		// Without a known controller any broker will say where it is, or pass the request on.
	}
	brokers := control.Brokers()
	if len(brokers) == 0 {
		return nil, sarama.ErrOutOfBrokers
	}
	return control.Broker(brokers[rand.IntN(len(brokers))].ID())
}

// connect makes the sarama client when there is none; fresh says that it was made just now, and so knows its brokers.
func (a *Admin) connect(ctx context.Context) (control sarama.Client, fresh bool, err error) {
	a.dial.Lock()
	defer a.dial.Unlock()
	a.mu.Lock()
	control, closed := a.control, a.closed
	a.mu.Unlock()
	switch {
	case closed:
		return nil, false, errClosed
	case control != nil:
		return control, false, nil
	case ctx.Err() != nil:
		return nil, false, ctx.Err() // gave up while others tried: do not try in vain once more
	}
	conf, err := a.client.saramaConfig()
	if err != nil {
		return nil, false, err
	}
	if control, err = sarama.NewClient(a.client.bootstrap, conf); err != nil {
		return nil, false, a.client.reason(err, conf)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed { // while we connected
		_ = control.Close()
		return nil, false, errClosed
	}
	a.control = control
	return control, true, nil
}

// reason finds out why no broker could be reached where sarama does not say: it drops the answers that are bare error
// codes, such as that of a listener without our SASL mechanism. One more connection is tried, and its error told.
func (c Client) reason(err error, conf *sarama.Config) error {
	if !errors.Is(err, sarama.ErrOutOfBrokers) || errors.Unwrap(err) != nil {
		return err
	}
	probe := sarama.NewBroker(c.bootstrap[0])
	if openErr := probe.Open(conf); openErr != nil {
		return err
	}
	_, why := probe.Connected()
	_ = probe.Close()
	if why == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, why)
}
