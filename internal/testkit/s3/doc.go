// Package s3 runs a real S3 server for tests: versitygw over a folder, a process of its own on 127.0.0.1.
//
// In comes nothing; out comes a Server with its endpoint, its keys and a way to make buckets, with object lock if asked.
// It can be stopped and started again on the same port with the same data. A Proxy stands before it and spoils what a
// script says: statuses, cut bodies, lost answers, stalls.
//
// The program is built from the Go module proxy at the first use on a machine, into .cache/versitygw-VERSION at the root
// of the repository (about two minutes); tests of several packages that run at once take turns. Nothing but Go is needed.
//
// Not guaranteed: speed, durability across a failure of the machine.
package s3
