//go:build !race

package mounttest

// raceFlags of the build: none.
var raceFlags []string
