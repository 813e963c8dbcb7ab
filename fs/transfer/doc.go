// Package transfer moves files between a volume, mounted or not, and the world outside, past the kernel, and whole trees between two volumes.
//
// It owns the reading of stored files from entries and block file alone (Source), the replacing of stored files as a whole (Target), the same for
// files outside (File), and the copy of a tree into a volume of another geometry (CopyTree). Data goes in
// through fs/openfile: whoever has it hashes it where it is (openfile.Ingest).
//
//	OpenSource(p *index.Parent) (*Source, error)          a volume of any mode and state, mounted and unclean ones included
//	Source.CopyOut(ctx, path, Output, OutOptions)         a file to a pipe, a device, or a regular file that it replaces
//	NewTarget(v *index.Volume, workers) *Target           a volume that is open for writing and not mounted
//	Target.CopyIn(ctx, path, Input, InOptions)            a pipe, a device or a regular file into the volume
//	Served.CopyIn, Served.CopyOut                         the same for a volume that this process serves, by a descriptor of another process
//	Served.IngestRange(ctx, Held, []Part, progress)       parts of a client's memory into files that exist
//	Served.Sync()                                         all that was stored before, durably, with its names
//	Served.ReadBack(ctx, path, Held, BackOptions)         blocks of a file from the disk past every cache, proved; a bad one leaves the index
//	CopyTree(ctx, src *index.Parent, dst *index.Volume, TreeOptions) (*TreeReport, error)
//
// Promises. Every block that is read is hashed, and what is not what its entry says is never passed on: it is looked for elsewhere by its hash, and
// else the copy fails or, where that was asked for, goes on with zeros there and lists them. What is replaced is replaced as a whole:
// a copy is complete and synced under a temporary name beside its target before it takes the name over, so that a failure, a kill or a power
// cut leaves the old file or the new one. Such temporary names begin with TempPrefix; the next copy to the same directory removes what a kill
// left: in a volume what somebody has open is none, outside an flock tells who still writes. IngestRange alone changes a file in place: a range that
// failed is any mixture of old and new blocks. Holes stay holes. Paths are relative to the root of the tree and are followed through directories
// only, never through symlinks.
package transfer
