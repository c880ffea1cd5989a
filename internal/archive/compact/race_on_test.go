//go:build race

package compact

// raceDetector slows everything tenfold: a part of the inputs has to do.
const raceDetector = true
