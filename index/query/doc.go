// Package query answers who uses a block: which entries of the index and which positions in files refer to a slot, an address or a
// hash, and what a file is made of.
//
// It only reads, and reads what it can: an index or a block file that is missing or damaged is noted, and the rest is answered
// without it. Results are handed out as they are found, so that the memory is the index, some bits a block, and a few buffers a
// processor, whatever the number of results. On a volume in use it sees what is on the disk; what is not written yet is not there.
package query
