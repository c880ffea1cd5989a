package main

import (
	"strings"
	"testing"
)

const bothWays = eastToWest + "west->east.enabled = true\nwest->east.topics = payments\nstatus.address = 127.0.0.1:0\n"

// TestTwoFlows: both directions of a file run in one process, and are counted apart.
func TestTwoFlows(t *testing.T) {
	east, west, path := pair(t, bothWays)
	orders, payments := written(t, east, "orders"), written(t, west, "payments")
	p := start(t, path)
	p.arrives(west, "east.orders", orders)
	p.arrives(east, "west.payments", payments)
	p.ready()
	_, metrics := p.get("/metrics")
	for _, flow := range []string{"east->west", "west->east"} {
		if !strings.Contains(metrics, `tandem_partitions{flow="`+flow+`",state="live"}`) {
			t.Errorf("metrics lack flow %s:\n%s", flow, metrics)
		}
	}
	p.stop()
}

// TestClusters: which flows of the file --clusters leaves.
func TestClusters(t *testing.T) {
	_, _, path := pair(t, bothWays)
	for _, c := range []struct {
		args  []string
		flows string
	}{
		{nil, `["east->west","west->east"]`},
		{[]string{"--clusters", "west"}, `["east->west"]`},
		{[]string{"--clusters", "east"}, `["west->east"]`},
		{[]string{"--clusters", "west,east"}, `["east->west","west->east"]`},
		{[]string{"--clusters", "west", "east"}, `["east->west","west->east"]`}, // as MM2 separates them
	} {
		p := start(t, append([]string{path}, c.args...)...)
		p.waitFor("mirror starts")
		if told := p.err.linesWith("mirror starts", `"flows":`+c.flows); len(told) != 1 {
			t.Errorf("%q: want flows %s, told %q", c.args, c.flows, p.err.linesWith("mirror starts"))
		}
		p.stop()
	}
}
