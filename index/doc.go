// Package index is the storage engine: the open volume. It finds a block by its hash, stores it once, reads it back
// verified, and keeps index, bitmap and snapshot on the disk such that a crash costs seconds.
//
// What it promises:
//
//   - An entry (address + hash) is handed out only after its block is in the block file. If storing fails, nothing refers
//     to the address.
//   - A block is served only if it was proved: its content hashed to the entry since the mount, and the index
//     still maps that hash to that address. Everything else is read whole and hashed first. What fails the proof is an error of
//     class format.ErrIO, leaves the index at once, and is healed from another copy of the same content as soon as there is one.
//   - The index on the disk changes at checkpoints only; a checkpoint syncs the blocks before the index and the snapshot.
//     Every block that the snapshot calls used is on the disk. A freed address is used again only after a checkpoint
//     that no longer knows it.
//   - Whatever fails to sync makes the volume fail for good (until it is opened and repaired again): the kernel
//     forgets what it could not write, so a later sync that succeeds would prove nothing.
//
// All methods of Volume are safe for concurrent use unless they say otherwise. docs/locking.md has the order of the locks.
package index
