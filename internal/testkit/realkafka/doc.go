// Package realkafka runs Apache Kafka for tests and for the bench: brokers, MirrorMaker 2 and the Java tools, as
// released, each a process of its own on 127.0.0.1.
//
// In comes a number of brokers and their settings; out comes a Cluster that has answered a request, with the addresses to
// give to clients. Brokers can be killed, paused and restarted; their data and their ports stay the same. Single-node clusters
// and small ones differ in nothing but the number: a cluster of three loses any one of its nodes and goes on.
//
// The jars are those of Maven Central, listed in pom.xml. The first use on a machine copies them into
// .cache/kafka-VERSION at the root of the repository (60 MB, seconds); tests of several packages that run
// at once take turns. A missing JDK or Maven is an error that says what to install: a test that needs a broker fails
// without one, it does not skip.
//
// Terms: the client listener is the one whose address is Bootstrap, and which may ask for SASL or advertise a proxy's
// address; the direct listener is plaintext, serves the brokers among themselves, and is open to tests as Direct.
//
// Not guaranteed: speed (brokers of tests run with a small heap and the quick compiler, see Options.JVM), and durability
// across a failure of the machine, since brokers do not fsync. SIGKILL loses nothing that a broker has acknowledged.
package realkafka
