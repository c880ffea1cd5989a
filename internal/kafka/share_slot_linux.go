package kafka

import (
	"errors"
	"hash/fnv"
	"net"
	"strconv"
	"syscall"
)

// takeName takes a name that one process of a machine can have at a time, and that is free when the process has ended, however it
// did: an abstract socket's. They are short, so the name is hashed. possible is false where names cannot be taken at all.
func takeName(name string) (release func(), ok, possible bool) {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name))
	l, err := net.Listen("unix", "@tandem-"+strconv.FormatUint(hash.Sum64(), 16))
	if err != nil {
		return nil, false, errors.Is(err, syscall.EADDRINUSE)
	}
	return func() { l.Close() }, true, true
}
