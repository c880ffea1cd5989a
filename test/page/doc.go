// Package page tests the status page as somebody sees it: in a real Chromium, over a source of made-up states, and over a real mirror
// with real brokers and a real object store that get into trouble.
//
// Screenshots are kept in screenshots/, which git ignores.
package page
