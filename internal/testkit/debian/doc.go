// Package debian finds commands for tests that are neither Go modules nor jars: Prometheus and its promtool, say.
//
// In: the name of a Debian package and the path of a command in it. Out: where the command is. One in PATH is taken as it is. Else
// the package is fetched with apt-get from wherever this machine fetches its packages, and unpacked into .cache/debian without being
// installed, for which no special rights are needed.
//
// Not guaranteed: the version, which is that of the machine's release of Debian; and what the package depends on, which is not
// fetched. So it is for commands that stand alone.
package debian
