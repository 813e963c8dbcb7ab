// Package openfile is the data path of a mounted volume: one File per open inode, from byte ranges to blocks and back. It
// knows nothing of FUSE and can be tested without a kernel.
//
// A write is cut into whole blocks and rests. Whole blocks are copied into a chunk (up to 1 MiB), the caller gets its reply, and
// a worker hashes, looks up and stores the blocks. Rests gather in block buffers, one block each, until they are whole, the file is flushed, or
// the memory of all of them is used up: then those go first that have gathered most. Chunks of one file are committed in the order in which
// they were submitted, whoever finishes first: the underlying file grows as the user's file did, and a killed daemon leaves a right prefix of
// what was appended.
//
//	WriteAt ──copy──▶ chunk ──queue──▶ worker: hash, index, block file ──▶ commit in order: entries, size
//	        └─rest──▶ block buffer ──when whole, or flushed─▶ chunk
//
// Where all workers have work and as much again waits, the caller stores whole blocks himself, from where they are: with several writers nothing is copied.
// Whoever stores, new blocks of chunks of less than 1 MiB lie in the order of the file (see turn.go).
//
// Because of the early reply an error can come late. It is kept with the file and reported by the next write, and by the sync and the close
// of every handle that wrote; the file keeps what it had at that place. When the volume or the disk below gets tight, writes
// wait for their own outcome instead, so that "no space" is reported by the very write that has none.
//
// Reads see everything that was accepted. They wait for chunks in flight that overlap and lay block buffers over what is stored. What is read in
// order is read ahead; edits tells when that is worthless.
package openfile
