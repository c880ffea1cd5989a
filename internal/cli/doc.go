// Package cli is what the commands of this repository have in common on a command line.
package cli
