// Package clone holds the proof that copies between files of a volume are made of
// entries: nothing is read, written or hashed, and what comes out is the same. It
// has tests only.
package clone
