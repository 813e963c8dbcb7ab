// Package catalog knows which backups lie in a folder: the buffer, or bazaar of a volume. It writes their records and deletes them.
//
//	Open(dir) *Folder             a place that an administrator chose: the buffer
//	Within(top, name) *Folder     a folder of a volume, which may not be a symlink
//	Folder.Guarded(lock)          the same, whose Delete sees a pin that somebody sets under that lock at the last moment
//	Folder.List(ctx)              Listing: all backups, what is unfinished, what is foreign, what is wrong
//	Folder.Find(name)             one of them
//	Folder.WriteRecord(record)    backup.json, replaced as a whole
//	Folder.Change(name, change)   the same, after another look at it
//	Folder.Pin(name, pinned)      never pruned, or pruned again
//	Folder.Delete(ctx, name)      crash-safe: renamed to .deleting-<name>, then removed
//	Folder.Finish(ctx)            ends the deletions that a crash interrupted
//	Folder.Evidence(ctx)          copies in the staging folder that differed from their source twice; DeleteEvidence(ctx, directory)
//	Folder.KeepVersions, SetKeepVersions   the file KEEPVERSIONS, the limit of this volume alone
//
// What is a backup: a directory whose name is MACHINE-YYYYMMDDHHMMSS exactly, and that holds either our record or a mark of the predecessor
// (STATUS.ok, STATUS.warn, STATUS.error, checksum.crc, CRC-FAILURE, ASYNC.OK). Everything else is foreign: it is neither counted nor touched.
//
// Promises. A name is never a pattern. Symlinks are not followed, nothing outside of the folder is touched, and other file systems that are mounted
// inside of a backup stop its deletion, also those that show a part of the same one. What is pinned is not deleted. A record that cannot be read is no
// reason to lose a backup: it is listed as one that is pinned, with the problem. CRC-FAILURE beside a record that says ok is a verification that was cut
// off between the two: the bad news count. STATUS.error beside one is a backup whose files are what they were, and which lacks some: it never counts as
// verified. After a crash a backup is complete in its place, or out of it under the name .deleting-<name>, which no
// listing shows.
package catalog
