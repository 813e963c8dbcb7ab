// Package verify compares one stored file with what it should be: its blocks, as they lie on the disk, with the hashes in its entries
// (Stored), or an outside file with its entries (Against): equal content has equal hashes, so that only the outside file is read. That
// proves the entries, not the stored blocks; where there is an index, it has to have each hash at the entry's address as well.
//
// What it promises:
//
//   - Blocks are read from the disk, past the page cache, each once however often the file has it, on all processors.
//   - A difference is a finding only after a second look: an entry that has changed by then is looked at anew, and a file that was removed or
//     replaced is an error, not a finding. A file that gets longer or shorter meanwhile is not good.
//   - Neither volume nor file is changed.
//   - Memory is a few MiB, a bounded note of the blocks already read, and a bounded list of findings.
package verify
