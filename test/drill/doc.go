// Package drill runs `failover drill` against real brokers and a real mirror: it passes on a flow that is well, leaves nothing behind, also
// when it is killed, and fails when the replica is not what it should be.
package drill
