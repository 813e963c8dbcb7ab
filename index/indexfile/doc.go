// Package indexfile owns the index file on disk and the snapshot of the used-block bitmap beside it.
//
// The whole index is read once and then lives in memory, outside the Go heap; it is written back at checkpoints only,
// page by page, the changed ones in ascending order (format page, section 5):
//
//	offset 0                 "DDUMBFSI", zeros to the end of the page
//	offset freeblock_offset  used-block bitmap
//	offset node_offset       table of entries
//
// Promises: a volume's index is never believed by its name alone (magic and size are checked before a byte of memory is
// reserved); what Create or Seal leaves behind after a crash is either a complete index or a file without the magic,
// which every reader refuses and a repair makes anew; a page that could not be written stays due.
//
// The bitmap and the table are the caller's to lock. The methods say which of them may run beside each other.
package indexfile
