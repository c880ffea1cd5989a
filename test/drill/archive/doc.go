// Package archive holds the tests of `archive drill` on real brokers and a real S3 server.
package archive
