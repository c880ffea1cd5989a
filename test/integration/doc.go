// Package integration runs the mirror binary, as it is built for users, between real Apache Kafka brokers, and reads both
// sides with clients that are not Tandem's.
//
// What comes in: topics written by franz-go's or Kafka's own producers, and an mm2.properties file for each test. What is
// looked at: the records of the remote topics, one by one; the bytes of the internal topics; what MirrorMaker 2 itself makes of
// them; the log lines and the exit status of the process.
//
// Terms: A and B are two clusters of one broker that all tests share; each test has topics and cluster aliases of its own, and with
// them internal topics of its own. A numbered record carries its number within its partition, so that what is lost, repeated
// or out of order can be counted.
//
// Not guaranteed: anything about speed. Waiting ends when a condition holds, or after a patience that only a hung
// process uses up; the one exception is the time that a stop may take, which is a promise of the program.
//
// Topic names are fixed, so a test runs once for each start of the package: -count=1.
//
// A campaign kills mirror five times, or -kills times, at moments drawn from -seed; the same seed draws the same moments, but what
// mirror is doing then is up to the machine. `make soak` runs all campaigns with 50 kills.
//
// With TANDEM_LONG set the tests that run under load do so for longer. With -race the binary is built with the race
// detector, too.
package integration
