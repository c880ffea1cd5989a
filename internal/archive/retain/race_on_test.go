//go:build race

package retain

// raceDetector slows everything tenfold: a part of the inputs has to do.
const raceDetector = true
