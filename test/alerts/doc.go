// Package alerts looks whether the alerts of dashboards/ tell what they are for.
//
// What comes in: the rules, their unit tests, the Grafana dashboard, docs/alerts.md. promtool and Prometheus are Debian's. The rules are
// checked and their tests run; every alert has a test and a section of its page; every metric and label that is asked for is one that
// `mirror` shows; and a real Prometheus with these rules, which scrapes a real mirror between real brokers, fires and resolves.
//
// Not guaranteed: that Grafana draws the panels well. Only what they ask for is held.
package alerts
