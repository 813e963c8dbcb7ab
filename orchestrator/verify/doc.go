// Package verify finds out whether a backup is what was read from its source, and says so in files beside it.
//
//	New(Options) *Verifier                           workers, pause gate (or PollGate), class of I/O
//	Verifier.Verify(ctx, store, dir, Wanted, mode)   right after a copy: sums of the source against the copy read back from the disk
//	Verifier.Again(ctx, store, dir)                  later: a published backup against its manifest (or the predecessor's checksum.crc)
//	Checker                                          Verify and Write for a queue of jobs
//	Scan                                             what lies in a directory, without the content: kinds, modes, owners, targets
//	WriteManifest, ReadManifest                      manifest.json: all files with all sums, and all that is not a file
//	WriteSums, ReadSums                              checksum.crc in the predecessor's form
//	Mark                                             checksum.crc; after a mismatch CRC-FAILURE and checksum_source.crc as well
//	MarkAgain                                        the same after Again: marks of an earlier failure go or come
//	Judge, Skip                                      the outcome into the record of a backup
//	PlanScrubs                                       which volume is scrubbed tonight, for how long, and which is overdue
//
// Promises. Verified is said only if every file that is wanted was found with its size, no other file lies there, and, in mode
//
//   - full: each byte was read back past all caches and has all sums of the source;
//   - new: the blocks that this copy stored were read back and proved by their hash. The others are those that an earlier copy stored and that have
//     the same hash: whether the disk still holds them is what the last scrub proved, whose date the outcome tells. What mode new cannot find:
//     damage of such an older block since then, what a program wrote into the copy through the mount, and an error in the memory of this machine
//     between the reading of the source and its hashing.
//
// An error of reading is Unreadable, never equal. Content that differs, or that the engine cannot prove, is Mismatch. Neither is hidden by the other:
// both are listed, and Unreadable is the verdict of both. A volume that went away meanwhile is neither, but an error of the call: nothing was found out.
//
// With Wanted.Source kinds, modes, owners and targets of symlinks are compared with the source; with Wanted.Again its content is read a second time as
// well, past the page cache: that finds what changed in the source after the copy, and reads that gave different bytes. Times and extended attributes are
// not compared, and a directory, symlink or device that the copy lacks is not missed right after it: whoever copies lists it in Partial. Later, Again
// misses all that lay there when the manifest was written.
//
// Memory does not grow with the size of files. The pause gate and the context are looked at once a megabyte, in mode new once a second or so.
package verify
