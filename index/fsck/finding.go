package fsck

import (
	"fmt"

	"tresor/index/format"
	"tresor/index/table"
)

// Kind is what a check found.
type Kind uint8

// The kinds of findings, by where they lie: index, blocks, files as a whole, entries of files.
const (
	// IndexLayout: a slot breaks the rules of the table; Fault says which.
	IndexLayout Kind = iota + 1
	// IndexAddressTwice: several entries have this address.
	IndexAddressTwice
	// IndexNotAllocated: an entry has the address of a block that the bitmap calls free.
	IndexNotAllocated
	// BlockContent: the content of the block does not hash to its entry in the index.
	BlockContent
	// BlockUnreadable: the block could not be read, or lies past the end of the block file; Err says which.
	BlockUnreadable
	// BlockReserved: the zero block (address 1) is not zeros, or not there.
	BlockReserved
	// FileUnreadable: the underlying file, or a directory, could not be read.
	FileUnreadable
	// FileHeader: the underlying file does not begin with a valid header.
	FileHeader
	// FileLength: the underlying file ends in the middle of an entry.
	FileLength
	// FileSize: the number of entries does not fit the size in the header.
	FileSize
	// FileLost: Entry entries of the file are known to be lost. No error: the file is as it was left.
	FileLost
	// EntryZero: address 0 beside a hash that is neither null nor that of the zero block.
	EntryZero
	// EntryReserved: the null or zero-block hash beside another address than 0.
	EntryReserved
	// EntryRange: the address is past the end of the volume.
	EntryRange
	// EntryFound: a block marked as lost although the index knows its hash; Other is its address.
	EntryFound
	// EntryUnknown: the index does not know the hash.
	EntryUnknown
	// EntryElsewhere: the index has the hash at another address, Other.
	EntryElsewhere
)

// Finding is one thing that a check found. Which fields count depends on Kind.
type Finding struct {
	Kind  Kind
	Slot  format.Slot
	Fault table.Fault
	Ideal format.Slot
	Addr  format.Address
	Other format.Address
	Path  string // of the file, relative to the root
	Entry uint64 // number of the entry in the file; of FileLost, how many
	Err   error
}

// String is the finding as one line.
func (f Finding) String() string {
	switch f.Kind {
	case IndexLayout:
		return fmt.Sprintf("index slot %d (address %d): %v, ideal slot %d", f.Slot, f.Addr, f.Fault, f.Ideal)
	case IndexAddressTwice:
		return fmt.Sprintf("index: address %d is in several entries", f.Addr)
	case IndexNotAllocated:
		return fmt.Sprintf("index: address %d is in an entry, and the bitmap calls the block free", f.Addr)
	case BlockContent:
		return fmt.Sprintf("block %d: content does not match the entry in index slot %d", f.Addr, f.Slot)
	case BlockUnreadable:
		return fmt.Sprintf("block %d (index slot %d): %v", f.Addr, f.Slot, f.Err)
	case BlockReserved:
		return fmt.Sprintf("block %d: the zero block is not zeros", f.Addr)
	case FileUnreadable:
		return fmt.Sprintf("%s: %v", f.Path, f.Err)
	case FileHeader:
		return fmt.Sprintf("%s: corrupted header: %v", f.Path, f.Err)
	case FileLength:
		return fmt.Sprintf("%s: incomplete entry at the end", f.Path)
	case FileSize:
		return fmt.Sprintf("%s: size mismatch: %v", f.Path, f.Err)
	case FileLost:
		return fmt.Sprintf("%s: file has lost blocks: %d", f.Path, f.Entry)
	}
	return f.entryString()
}

// entryString is String for the findings inside a file.
func (f Finding) entryString() string {
	at := fmt.Sprintf("%s: entry %d", f.Path, f.Entry)
	switch f.Kind {
	case EntryZero:
		return at + ": wrong hash for block zero"
	case EntryReserved:
		return fmt.Sprintf("%s: null or zero-block hash beside address %d", at, f.Addr)
	case EntryRange:
		return fmt.Sprintf("%s: address %d out of range", at, f.Addr)
	case EntryFound:
		return fmt.Sprintf("%s: marked as lost, but the index has its hash (1 -> %d)", at, f.Other)
	case EntryUnknown:
		return fmt.Sprintf("%s: block not found in index (%d -> 1)", at, f.Addr)
	case EntryElsewhere:
		return fmt.Sprintf("%s: found another block for hash (%d -> %d)", at, f.Addr, f.Other)
	}
	return fmt.Sprintf("finding of unknown kind %d", f.Kind)
}
