// Package docs does what README.md and docs/ tell a new user to do, and looks whether what they promise happens.
//
// What comes in: the Markdown files of the repository. Each line of a block that is marked sh is a command, and so is
// code in the text that begins with make, mirror, failover, archive, or bin/ before those three. Each command must be known to a test here, which runs it in a copy of the
// repository; where it names addresses, numbers or lengths of time that stand for the user's own, they are replaced.
//
// Beside that: links lead somewhere, settings that are named exist, and config/mm2.properties gives no warning.
//
// Not guaranteed: that a sentence is true. Only commands, links and names of settings are held.
package docs
