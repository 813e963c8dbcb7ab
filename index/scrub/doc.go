// Package scrub reads the blocks of an open volume from the disk, in the order of their addresses, and proves each against the index:
// damage is found while the data may still be had elsewhere, not when it is needed.
//
// What it promises:
//
//   - What is called good was read from the disk, past the page cache, and its hash is what the index has for that address.
//   - A bad or unreadable block leaves the index at once (index.Volume.Convict), so that the next write of its content stores it again and
//     every file heals from that. Blocks that are written or freed meanwhile are not accused. If the block file itself does not answer,
//     nothing is convicted.
//   - Every file that has lost a block is named, those in the quarantine too, also for blocks that were found bad before, by whomever,
//     and are not in the index any more.
//   - It may be stopped at any time, or killed, and goes on where it was; what was verified when is kept beside the volume (Status). The
//     time of a region is that of its beginning: nothing in it was proved earlier than that.
//   - Writers are not held up: no lock is held over I/O. Memory is a few MiB, some bits for each block of the volume, and bounded lists.
package scrub
