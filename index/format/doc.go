// Package format owns every structure that a volume has on the disk: the
// names and magic values, the text configuration, the header of an underlying
// file, the entry, and the arithmetic between sizes, blocks and slots. It does
// no I/O, so that every rule here can be tested without a disk.
//
// It promises: what it encodes is what ddumbfs 1.1 would have written, byte for
// byte; what it decodes may be any bytes at all and yields an error that says
// what was wanted and found, never a panic and never an allocation whose size
// was read from the input.
//
// # Configuration, ddfs.cfg
//
// Text, one "key: value" a line. It is the only place where the geometry
// stands, so it is checked as a whole (ParseConfig): a volume opened with a
// wrong geometry would look for every hash in the wrong slot.
//
// # Index file
//
//	offset            length             content
//	0                 4096               header: "DDUMBFSI", zeros
//	freeblock_offset  freeblock_size     used-block bitmap, bit 7 of byte 0 is
//	                                     block 0; one bit a block, 1 is used
//	node_offset       node_block_count   the table: node_count entries without
//	                  x 4096             padding, sorted by hash
//
// The offsets come from the configuration: new volumes align the bitmap and the
// table to 64 KiB, old ones have the bitmap at 4096.
//
// # Entry
//
//	offset     length     content
//	0          addr_size  address, little-endian: the block's number in the
//	                      block file, 0 = empty slot or zero block, 1 = lost
//	addr_size  hash_size  hash of the whole block, as the hash function gave it
//
// The address has only as many bytes as the block count needs, since the table
// is held in memory. The same encoding stands in the index, where it maps a hash
// to a block, and in the underlying files, where the hash lets a read be
// verified and a lost block be found again.
//
// # Underlying file
//
//	offset  length           content
//	0       8                "DDUMBFSF"
//	8       8                logical size in bytes, big-endian: the last block
//	                         may be used in part
//	16      entries x size   one entry for each block, in order
//
// # Block file
//
// "DDUMBFSB" at the start of block 0; block 1 is all zeros. Both are reserved,
// since the addresses 0 and 1 have other meanings. Data begins with block 2.
package format
