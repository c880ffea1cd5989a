// Package doctor says what stands in the way of the flows of a file before they run: facts about the file, the clusters and our
// rights come in, findings go out. It asks nobody anything: cmd/mirror gathers the facts.
//
//	flows, topics --> Needs (which rights each flow needs) --> [asked of the clusters] --> Facts --> Examine --> []Finding
//
// Terms:
//   - A blocker keeps records or groups of a flow from being copied; a warning lets them through otherwise than one may think, or
//     keeps something smaller from working; a note is good to know.
//   - An element is one regular expression of a list (topics, groups). The resource of an element is what an ACL can say of it: a
//     name, a prefix, or all (*).
//   - A probe is a made-up name under a prefix: who may do something with it may do it with all names there.
//
// What could not be asked (a cluster that is away, an answer that was refused) leaves no finding but the one that says so.
//
// Not guaranteed: that a flow without findings runs. of a DENY only the missing
// right shows; nothing is written, so quotas, full disks and policies show only as far as a cluster tells of them when asked.
package doctor
