package drill

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// The name of a scratch topic. It begins with two underscores, as no topic does that MirrorMaker 2 or Tandem copies, whatever their
// filters say. Until the deadline its drill may be alive; host is a hash, and pid the process there.
//
//	__tandem-drill.<yyyymmdd>T<hhmmss>Z-<host>-<pid>.<number>.<topic>
const (
	// Prefix is what the names of all scratch topics begin with.
	Prefix = "__tandem-drill."

	deadlineForm = "20060102T150405Z"
	nameLimit    = 249 // of a topic
	afterwards   = time.Minute
)

// Run says whose scratch topics they are.
type Run struct {
	Deadline time.Time // of its work; its cleaning up is over soon after
	Host     string
	PID      int
}

// ID is the part of the names that tells drills from one another.
func (r Run) ID() string {
	return fmt.Sprintf("%s-%08x-%d", r.Deadline.UTC().Format(deadlineForm), hash(r.Host), r.PID)
}

// Name is that of the scratch topic of a topic.
func (r Run) Name(number int, topic string) string {
	name := fmt.Sprintf("%s%s.%d.%s", Prefix, r.ID(), number, topic)
	return name[:min(len(name), nameLimit)]
}

func hash(host string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(host)) // a hash takes all
	return h.Sum32()
}

// Left says that a topic is of a drill that is over: it was killed. alive tells of processes of this host.
func (r Run) Left(topic string, now time.Time, alive func(pid int) bool) bool {
	rest, ok := strings.CutPrefix(topic, Prefix)
	if !ok {
		return false
	}
	id, _, _ := strings.Cut(rest, ".")
	parts := strings.Split(id, "-")
	if len(parts) != 3 {
		return false
	}
	deadline, err := time.Parse(deadlineForm, parts[0])
	pid, bad := strconv.Atoi(parts[2])
	if err != nil || bad != nil {
		return false
	}
	if now.After(deadline.Add(2 * afterwards)) { // clocks of hosts differ
		return true
	}
	return parts[1] == fmt.Sprintf("%08x", hash(r.Host)) && (pid == r.PID || !alive(pid))
}
