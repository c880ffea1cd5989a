// Package proc runs the foreign processes of tests and of the bench: brokers, MirrorMaker 2, copiers.
//
// In comes a command line and a log file; out comes a running child whose signals, CPU time and peak memory can be asked
// for. A child never outlives the process that started it: on Linux the kernel kills it when its parent dies, however
// the parent dies. Elsewhere only an orderly Kill or Stop ends it, and the figures of /proc are errors.
//
// Not guaranteed: grandchildren. A command that forks and lets go of its child loses it.
package proc
