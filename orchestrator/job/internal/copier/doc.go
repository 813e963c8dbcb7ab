// Package copier copies trees into a backup, so that what it has done survives the end of the process in the middle of a file.
//
//	Copy ─▶ entry ─┬─ directory   children in the order of their bytes; attributes when all is copied
//	               ├─ file        content in segments: Put by the store, sums by us, at the same time out of the page cache
//	               ├─ symlink, fifo, device
//	               └─ socket      listed
//
// What was copied is noted in a Log: a line for each segment of a long file, with the states of the running sums, and one for each file. A later Copy with
// the same log walks the sources again and believes a line only while size, times and inode of the source are as they were. So its result is what
// a copy in one go would have made, whatever changed in between: what is new is copied, what changed is copied again, what went is removed.
//
// A file that changes while it is read is copied again once. If it changes again, it is copied a last time in a way that sums and copy are of the same
// bytes, and listed. What cannot be read is listed, and the rest goes on, unless Strict.
//
// A source is read by descriptors that follow no symlink below a root, so that nobody who may write in it can lead the copy elsewhere.
package copier
