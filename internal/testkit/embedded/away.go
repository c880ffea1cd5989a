package embedded

import (
	"context"
	"net"
	"sync"
	"time"
)

// distance lets a cluster be some way away: what it answers takes that long, except to the clients of this package, which are taken to
// be beside it. What is under way when it dies never arrives.
type distance struct {
	away time.Duration

	mu   sync.Mutex      // guards near
	near map[string]bool // addresses of clients beside the cluster; a client is here before it asks anything
}

func (d *distance) listen(network, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return farListener{l, d}, nil
}

// dial is how clients beside the cluster connect.
func (d *distance) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		d.mu.Lock()
		d.near[conn.LocalAddr().String()] = true
		d.mu.Unlock()
	}
	return conn, err
}

func (d *distance) isNear(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.near[conn.RemoteAddr().String()]
}

type farListener struct {
	net.Listener
	*distance
}

func (l farListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &farConn{Conn: conn, distance: l.distance, under: make(chan parcel, 1024), closed: make(chan struct{})}
	go c.deliver()
	return c, nil
}

// farConn is the cluster's side of a connection.
type farConn struct {
	net.Conn
	*distance
	under  chan parcel // under way to the client
	once   sync.Once
	closed chan struct{}
}

type parcel struct {
	at   time.Time // of arrival
	data []byte
}

func (c *farConn) Write(p []byte) (int, error) {
	if c.isNear(c.Conn) {
		return c.Conn.Write(p)
	}
	select {
	case c.under <- parcel{time.Now().Add(c.away), append([]byte(nil), p...)}:
		return len(p), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *farConn) deliver() {
	for {
		select {
		case <-c.closed:
			return
		case p := <-c.under:
			select {
			case <-c.closed:
				return
			case <-time.After(time.Until(p.at)):
			}
			if _, err := c.Conn.Write(p.data); err != nil {
				_ = c.Close() // the client has gone
				return
			}
		}
	}
}

func (c *farConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
