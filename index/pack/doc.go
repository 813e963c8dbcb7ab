// Package pack moves the blocks of a volume to the front of the block file and cuts it (format page, section 9, option -k).
//
// With U blocks in use, the two reserved ones included, the k-th used block at or past address U moves to the k-th free address
// below U. What moves where is a pure function of the used-block bitmap, and that is in the plan (.ddfspack), which is on the
// disk before anything moves. Files and index follow; at the end the blocks in use are those below U.
//
// Promises:
//
//   - It changes nothing before it has seen all files, and the index in accord with them. A block that cannot be read, or is not what
//     the index says, ends it while all names still stand for the old places: the volume is as it was.
//   - No block is overwritten or cut off before everything that referred to it refers to its copy, durably. A rebuild of the index from
//     the files, ours or the original's, gives every file back at any moment.
//   - It may be killed at any point: Resume goes on, and the end is the same. Meanwhile no other tool touches the volume, the original's
//     included: .rebuildfsck stands beside the plan and names it.
//   - Copies need room where the free blocks are holes. If there is not enough for all at once, it goes in rounds, each of which gives
//     back what it moved away from.
//   - Memory is the index, some bits a block and a few buffers, whatever moves.
package pack
