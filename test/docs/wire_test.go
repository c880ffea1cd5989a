package docs

import (
	"io"
	"net"
	"sync"
)

// wire is the way to the brokers of the other site. When it is cut, nobody gets through.
type wire struct {
	mu        sync.Mutex
	isCut     bool
	listeners []net.Listener
	conns     map[net.Conn]bool
}

func (l *wire) before(_ int, address string) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.listeners = append(l.listeners, listener)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go l.pass(from, address)
		}
	}()
	return listener.Addr().String(), nil
}

func (l *wire) pass(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	l.mu.Lock()
	if l.isCut {
		l.mu.Unlock()
		return
	}
	if l.conns == nil {
		l.conns = make(map[net.Conn]bool)
	}
	l.conns[from], l.conns[to] = true, true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, from)
		delete(l.conns, to)
	}()
	go func() {
		defer from.Close()
		_, _ = io.Copy(from, to) // ends with the connection
	}()
	_, _ = io.Copy(to, from)
}

// cut ends what is there, and whoever comes.
func (l *wire) cut(off bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut = off; off {
		for c := range l.conns {
			c.Close()
		}
	}
}

func (l *wire) close() {
	for _, listener := range l.listeners {
		listener.Close()
	}
	l.cut(true)
}
