//go:build !race

package pack_test

// raceStride is how many crash points and faults are passed over for one that is tried: the detector makes all of it ten times as slow.
const raceStride = 1
