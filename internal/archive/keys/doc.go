// Package keys wraps the data keys of bundles with keys that the operator keeps: in a key management service, or in a file.
//
// In come the URLs of archive.encryption.key.url; out comes a Ring, which is a bundle.Keeper: its first key wraps, all unwrap.
//
// The words:
//
//   - data key: 32 bytes made at random for one bundle; it stands in the bundle's header, wrapped.
//   - id: what a bundle's header says of the key that wrapped its data key, for all to see: of a file a short hash of the key, of a
//     service the key's URL without parameters.
//   - aad: what a wrapped key is bound to, the bundle's name. It opens with no other one.
//
// To rotate a key, the new one is put in front of the list and the old ones stay behind it for as long as there are bundles that
// name them; no bundle is written again.
//
// # Files
//
// keys.go (the ring), url.go (what a URL may hold), file.go (key files), kms.go (services, through gocloud.dev/secrets).
//
// # Not guaranteed
//
// A key that is lost is lost with all that it wrapped. Nothing here makes copies of one.
//
// Two keys of a service may have one id where their URLs differ in parameters alone, as the region of a replica: both are tried.
// An alias that a service lets point to another key keeps its id; old bundles open for as long as the service has the old key.
//
// No error holds a key, a credential, or the parameters of a URL.
package keys
