// Package fsck owns the check of a volume, its repair, and the rebuild of its index.
//
// A check (Check) only reads and reports findings as values; its Summary prints in the form that scripts know from the
// original. A repair (Repair) rests on one rule: the content decides. A block belongs to a hash only if index and file agree
// on it and nothing speaks against it, or if its content was hashed and is that; wherever two sources disagree, all blocks
// concerned are hashed, and the result is entered in the index and then in the files. A rebuild is a repair that takes no
// word of the index; the mode Trusting is one that takes the files' word, and is the exception to the rule.
//
// Promises of the repair:
//
//   - It never makes a good file bad. An entry of a file changes only to an address whose content was proved, or to "lost" where
//     the content of the old address was read and is something else, and the right one is in no other block either (at a mount
//     only the blocks in doubt are looked at). A block that the disk did not deliver changes nothing. A block file that was cut
//     is refused.
//   - It deletes nothing. A file that cannot be a file of the volume is moved to the quarantine, and what it refers to stays in use.
//   - Nothing is freed unless all files could be read.
//   - It writes to nothing that cannot be proved to be the volume's, unless it is forced.
//   - It may be interrupted at any point and is continued by running it again: the files change first, then the index, then
//     the snapshot, then the marks that the volume needs a repair are taken away. Nothing is changed before all is known.
//   - Running it twice changes nothing.
//   - Memory is the index, some bits a block, a few buffers a processor and at most MaxReports reports, whatever the number of files.
package fsck
