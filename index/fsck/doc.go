// Package fsck owns the check of a volume and its repair.
//
// A check (Check) only reads and reports findings as values; its Summary prints in the form that scripts know from the
// original. A repair (Repair) rests on one rule: the content decides. A block belongs to a hash only if index and file agree
// on it and nothing speaks against it, or if its content was hashed and is that; wherever two sources disagree, all blocks
// concerned are hashed, and the result is entered in the index and then in the files.
//
// Promises of the repair:
//
//   - It never makes a good file bad. An entry of a file changes only to an address whose content was proved, or to "lost" where
//     the content of the old address was read and is something else. A block that the disk did not deliver changes nothing.
//   - Nothing is freed unless all files could be read.
//   - It may be interrupted at any point and is continued by running it again: the files change first, then the index, then
//     the snapshot, then the mark that the volume needs a repair is taken away.
//   - Running it twice changes nothing.
//   - Memory is some bits a block and a few buffers a processor, whatever the number of files.
package fsck
