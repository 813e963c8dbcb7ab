// Package copier copies trees into a backup, so that what it has done survives the end of the process in the middle of a file.
//
//	Copy ─▶ entry ─┬─ directory   children in the order of their bytes; attributes when all is copied
//	               ├─ file        content is read once, into memory; what is summed there is what the target is shown (stream)
//	               ├─ symlink, fifo, device
//	               └─ socket      listed
//
// What is durable in the target is noted in a Log: a line for each segment of a long file, with the states of the running sums, and one for each file. Many
// short files are made durable at once; a kill before has them copied again. A later Copy with
// the same log walks the sources again and believes a line only while size, times and inode of the source are as they were. So its result is what
// a copy in one go would have made, whatever changed in between: what is new is copied, what changed is copied again, what went is removed.
//
// A file that changes while it is read is copied again, twice at most. If it changes again, the last copy, whose sums are its own, is taken, and listed. What cannot be read is listed, and the rest goes on, unless Strict.
//
// A source is read by descriptors that follow no symlink below a root, so that nobody who may write in it can lead the copy elsewhere.
package copier
