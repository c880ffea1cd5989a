//go:build !race

package retain

const raceDetector = false
