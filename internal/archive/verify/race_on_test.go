//go:build race

package verify

// raceDetector slows everything tenfold: a part of the inputs has to do.
const raceDetector = true
