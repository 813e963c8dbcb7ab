// Package damage holds volumes under random damage, and under a flip of each of their bytes, against a promise of the repair that
// is exact enough to be computed (engine.md, promise 5). It has tests only.
//
// The promise is about a block of a file as it was before the damage, with content C and hash H. It is recoverable if
//
//  1. the file's header still has its magic,
//  2. the block's entry is still there, whole, and its hash is H, whatever its address is;
//  3. C is zeros; or C lies in a block of the block file, at any address, whatever index, bitmap and snapshot say of it.
//
// A file is recoverable if its header is what it was and all of its blocks are recoverable. The size in a header has no second
// source: one that does not fit the number of entries is set to what they hold (entries of zeros past a smaller one are cut, as the
// format page has it), another one is believed.
//
// Then, after a repair:
//
//   - every recoverable block is served, and every recoverable file is whole: name, size and content;
//   - a file whose header is unusable and cannot be restored lies in the quarantine, and the index holds every block that its entries
//     lead to by 2. and 3.;
//   - no block of any file is served with other content than it had;
//   - a second repair changes no byte of the volume;
//   - the check of all hashes finds the volume in order, or with lost blocks and unusable headers only.
//
// A repair with -N looks at no content and owes only that what was served still is; -R after it owes all of this.
//
// One thing needs more than a repair that trusts what was closed cleanly: a block that decayed at rest, which nobody read since.
// The repair does not hash every block, so the check may still find it, and only it; reading it is an error, and the rebuild that
// hashes everything (fsck -R) then brings back what 3. promises.
//
// A repair that cannot go on (the configuration is damaged, the block file is missing, empty, or cut) says so and changes no
// underlying file; when the part is back, the promise holds.
package damage
