// Package storetest tests what a store of backups promises (Contract), and has a store over a plain directory (Dir) for the tests of those who use one.
//
//	Contract(t, open)          the suite that every orchestrator.Store passes
//	Dir(root) *Plain           a store without a volume: real files, a sum for each block beside them, the same promises
//	Plain.Hook                 is asked before each step: fail it, hold it, count it, kill the process there
//	Plain.Flip                 damages a byte as a disk does: the next ReadBack finds it
//
// Promises. A Plain passes Contract. What it has stored survives the end of its process, as that of a volume does: the sums lie in root + ".sums",
// one file for each inode, so that names may change. It deduplicates nothing on the disk, it only counts as if it did.
package storetest
