package kafka

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
)

// slotsMost bounds how many processes of one file a machine has.
const slotsMost = 1000

var notInInstance = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

// InstanceSlot is a group.instance.id for a process that was given none: the host's name, a hash of the file's path, and
// the lowest number that no other process of this machine with the same file has. A killed process's number is free at
// once, so that the one started in its stead is taken for it; two that run at the same time differ. It is empty, a
// dynamic member, where that cannot be known: on hosts named localhost, and outside of Linux.
func InstanceSlot(file string) (instance string, release func()) {
	host, err := os.Hostname()
	if host = notInInstance.ReplaceAllString(host, "-"); err != nil || host == "" || host == "localhost" {
		return "", func() {}
	}
	if absolute, err := filepath.Abs(file); err == nil {
		file = absolute
	}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(file))
	name := fmt.Sprintf("%.200s-%08x", host, hash.Sum32())
	for n := range slotsMost {
		if release, ok, possible := takeName(fmt.Sprintf("tandem-%s-%d", name, n)); ok {
			return fmt.Sprintf("%s-%d", name, n), release
		} else if !possible {
			break
		}
	}
	return "", func() {}
}
