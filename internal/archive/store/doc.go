// Package store keeps objects: written once, read by range, listed in order. It is the only package that knows of S3, Google
// Cloud Storage, Azure and local folders.
//
// In comes the archive's URL and settings; out comes a Store. Files: store.go (the contract), open.go (URLs), errors.go
// (what an error asks for), shell.go (the same for every kind of store: tries again, resumes, compares); below it the kinds:
// bucket.go (what gocloud.dev/blob serves), s3.go (what S3 has beyond that), file.go (a local folder).
//
// Terms. To create is to write an object that is not there; no object is ever written over. The digest is the SHA-256 of an
// object's bytes. A try is one request; an operation is tried again while its error passes by itself, for Options.Patience at
// most. A stall is a try that moves no byte for Options.Idle.
//
// Guarantees: Put returns nil only when the store holds exactly these bytes under the name, durably. NotFound is what a
// store said of an object in a bucket that exists, never a guess from a status or a broken connection. No error and no
// event holds a credential.
//
// Not guaranteed: that a store which ignores the condition of a conditional create is noticed by Put; Probe finds out.
// Google's and Azure's clients try again by themselves, below the tries counted here.
package store
