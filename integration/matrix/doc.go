// Package matrix runs one suite of file operations over mounts of many kinds:
// block size, hash, verification, writers, and how files are cached. The suite is
// named functions of a directory and runs on a plain directory first, so that it
// says the same there. It has tests only.
package matrix
