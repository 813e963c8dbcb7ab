// Package verify finds out whether a backup is what was read from its source, and says so in files beside it.
//
//	New(Options) *Verifier                           workers, pause gate (or PollGate), class of I/O
//	Verifier.Verify(ctx, store, dir, Wanted, mode)   right after a copy: sums of the source against the copy read back from the disk
//	Verifier.Again(ctx, store, dir)                  later: a published backup against its manifest (or the predecessor's checksum.crc)
//	Checker                                          Verify and Write for a queue of jobs
//	Origin, FromBuffer                               what a backup was made of: a snapshot, the buffer with its manifest, a living directory
//	Scan                                             what lies in a directory, without the content: kinds, modes, owners, times, attributes, targets
//	Describe                                         manifest.json of what lies there
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
//     the same hash. They are relied on only if a scrub has proved every block of the volume, not longer ago than MaxScrubAge, and after everything that
//     was stored and never read back (Wanted.Unproved: copies whose verification was skipped, failed or cut off); otherwise the files that have them are
//     read as in mode full. The outcome tells the date. What mode new cannot find: damage of such an older block since then, what a program wrote into
//     the copy through the mount, and an error in the memory of this machine between the reading of the source and its hashing.
//
// An error of reading is Unreadable, never equal. Content that differs, or that the engine cannot prove, is Mismatch. Neither is hidden by the other:
// both are listed, and Unreadable is the verdict of both. A volume that went away meanwhile is neither, but an error of the call: nothing was found out.
//
// Times, modes, owners, extended attributes, targets and devices are compared with the source where that is known (Wanted.Source), and with the manifest later;
// what a copy says itself that it could not keep (Partial) is told and is no difference. With Wanted.Again the content of the source is read a second time,
// past the page cache. What that finds depends on what the source is:
//
//   - a snapshot stands still: whatever differs is a difference.
//   - a living directory: what was changed after the copy was begun, by its size, its time of change or the kernel's, is told as changed and says nothing about
//     the copy, which has the sums of what was read. Bytes that differ under the times of before are damage, of the disk or of one of the readings.
//   - the buffer is a copy already, and has a manifest of what it was filled with. A copy of it is held against that: what the buffer lost before it was copied
//     is a difference, however equal both are now. What it lost afterwards is the damage of the buffer, of which people hear, and not of the copy.
//
// A directory, symlink or device that the copy lacks is missed right after the copy if the source is the buffer; else whoever copies lists it in Partial.
// Later, Again misses all that lay there when the manifest was written.
//
// Memory does not grow with the size of files. The pause gate and the context are looked at once a megabyte, in mode new once a second or so.
package verify
