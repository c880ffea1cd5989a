//go:build !linux

package kafka

// takeName cannot take names where sockets have none of their own.
func takeName(string) (release func(), ok, possible bool) { return nil, false, false }
