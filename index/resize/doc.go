// Package resize gives a volume another size, in place: it grows or shrinks the number of blocks, changes the overflow of the index,
// and moves the index to another file or device. Blocks stay where they are.
//
// It owns the order of the steps. What is to be done is on the disk, in .ddfsresize, before anything changes; from then on until the
// end every other tool refuses the volume and names the command that goes on. The phases, and what each relies on:
//
//	prepare  the whole new index is made beside the old one. Nothing of the volume has changed: an error takes everything back.
//	files    only where addresses get another width: all stored files are rewritten in place, batch by batch. A batch is complete
//	         in the redo journal, durably, before a byte of a file changes, and in the list of what is done before the next one.
//	switch   the new index takes its name, the block file is cut, ddfs.cfg and the snapshot are renewed. Every step may be repeated.
//	done     what was only needed on the way is removed, the marks last.
//
// Promises:
//
//   - Whatever can be found out before is found out before: size, room, devices, files that cannot be written. Then nothing is changed.
//   - It may be killed at any point; running it again goes on and ends in the same state. A file is never converted twice: what is done
//     is known from the list, never guessed from a file's looks.
//   - A state, journal or list that somebody else made, or that is a stale one, reaches nothing outside the volume: it is held against the
//     volume first (trust.go). Files that were deleted by hand meanwhile are passed over, moved or replaced ones refused (MovedError).
//   - Stored files keep inode, owner, mode, times, extended attributes, links and holes. Headers are not touched; what stands where no
//     whole entry fits stays behind the last one.
//   - The result is what mkfs with the new size would have made: the same ddfs.cfg, and the table that its entries give.
//   - Memory is the two indexes, some bits for each file and a few batches.
package resize
