//go:build race

package mounttest

// raceFlags build the binary with the race detector, as the test is.
var raceFlags = []string{"-race"}
