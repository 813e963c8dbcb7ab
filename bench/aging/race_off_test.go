//go:build !race

package aging

// raceEnabled is a test built with the race detector: rates say nothing then.
const raceEnabled = false
