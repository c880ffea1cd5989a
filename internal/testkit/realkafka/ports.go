package realkafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// A broker keeps its port while it is down, so that it can come back where clients know it. Ports are therefore taken
// below the range from which the kernel serves outgoing connections, and reserved by a locked file for as long as
// the cluster lives: other test processes of this user keep away.
const (
	firstPort = 20000
	lastPort  = 32000
)

type portLease struct {
	ports []int
	files []*os.File
}

func leasePorts(n int) (*portLease, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("realkafka-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("reserve ports: %w", err)
	}
	lease := &portLease{}
	for tries := 0; len(lease.ports) < n; tries++ {
		if tries > 1000 {
			lease.release()
			return nil, errors.New("reserve ports: a thousand tries found none that is free")
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(port)), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			lease.release()
			return nil, fmt.Errorf("reserve ports: %w", err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !isFree(port) {
			f.Close()
			continue
		}
		lease.ports = append(lease.ports, port)
		lease.files = append(lease.files, f)
	}
	return lease, nil
}

// release leaves the files: to remove one that another process has just opened would let two hold the same port.
func (l *portLease) release() {
	for _, f := range l.files {
		f.Close()
	}
	l.files = nil
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", local(port))
	if err != nil {
		return false
	}
	listener.Close()
	return true
}
