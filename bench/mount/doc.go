// Package mount measures a mounted volume beside its two ceilings in one run: the disk's own file system with the same calls ("raw"), and a FUSE file
// system of the same library and settings that throws writes away and serves zeros ("null").
//
//	go test ./bench/mount -run XXX -bench . -count 5
//
// Requests are of 1 MiB. Only ratios of one run mean something; docs/performance.md has the results so far.
package mount
