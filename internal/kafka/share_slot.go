package kafka

import (
	"fmt"
	"os"
	"regexp"
)

// slotsMost bounds how many processes a machine has.
const slotsMost = 1000

var notInInstance = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

// InstanceSlot is a group.instance.id for a process that was given none: the host's name and the lowest number that no other process
// of this machine has. A killed process's number is free at once, so that the one started in its stead is taken for it; two that run at
// the same time differ. It is empty, a dynamic member, where that cannot be known: on hosts named localhost, and outside of Linux.
func InstanceSlot() (instance string, release func()) {
	host, err := os.Hostname()
	if host = notInInstance.ReplaceAllString(host, "-"); err != nil || host == "" || host == "localhost" {
		return "", func() {}
	}
	for n := range slotsMost {
		name := fmt.Sprintf("%.200s-%d", host, n)
		if release, ok, possible := takeName("tandem-" + name); ok {
			return name, release
		} else if !possible {
			break
		}
	}
	return "", func() {}
}
