// Package docs does what README.md and docs/ tell a new user to do, and looks whether what they promise happens.
//
// What comes in: the Markdown files of the repository. Each line of a block that is marked sh is a command, and so is
// code in the text that begins with make, mirror, failover, archive, or bin/ before those three. Each command must be known to a test here, which runs it in a copy of the
// repository; where it names addresses, numbers or lengths of time that stand for the user's own, they are replaced.
//
// The runbooks and set-ups (docs/runbooks.md, docs/active-*.md) are followed block by block, in the order of the page: what has happened is
// made to happen, each line is run and must end with the exit status that the page gives, and what it prints must have the lines that stand
// below it, but for moments, sizes and names that are drawn. Where a page says that records or groups are back, they are compared.
// Commands that only look, of any page, are run at the end beside a mirror that is well.
//
// Beside that: links lead somewhere, settings that are named exist, and config/mm2.properties gives no warning.
//
// Not guaranteed: that a sentence is true. Only commands, what they print, links and names of settings are held. Blocks that are marked text,
// of tools that are not here (systemctl, kubectl, aws), are not run.
package docs
