package index

import "sync/atomic"

// counters count since the volume was opened or Reset. Each is a sum, so they are not consistent with each other to the block.
type counters struct {
	hashed, ghost, written, zero              atomic.Uint64
	read, readZero, verified, healed          atomic.Uint64
	badBlocks, readErrors, checkpoints, syncs atomic.Uint64
	ahead                                     atomic.Uint64
}

// Stats is a picture of what a volume holds and has done. Counts are in blocks where nothing else is said.
type Stats struct {
	BlockSize int    `json:"block_size"`
	Hash      string `json:"hash"`
	Allocated uint64 `json:"block_allocated"`
	Free      uint64 `json:"block_free"`
	// Fresh is what was stored since the last checkpoint.
	Fresh uint64 `json:"block_fresh"`

	Hashed     uint64 `json:"hash_count"`
	Ghost      uint64 `json:"ghost_write"`
	Written    uint64 `json:"block_write"`
	ZeroWrite  uint64 `json:"block_write_zero"`
	Read       uint64 `json:"block_read"`
	ReadZero   uint64 `json:"block_read_zero"`
	Verified   uint64 `json:"block_verified"`
	Healed     uint64 `json:"block_healed"`
	BadBlocks  uint64 `json:"block_bad"`
	ReadErrors uint64 `json:"read_errors"`
	// Ahead is how many runs of blocks the disk was told about before they were read.
	Ahead uint64 `json:"runs_read_ahead"`

	Checkpoints uint64 `json:"checkpoints"`
	Syncs       uint64 `json:"syncs"`
}

// Stats returns the statistics.
func (v *Volume) Stats() Stats {
	used, free := v.alloc.counts()
	_, fresh := v.alloc.freshCount()
	c := &v.stats
	return Stats{
		BlockSize: v.geo.BlockSize, Hash: v.geo.Kind.Name(), Allocated: used, Free: free, Fresh: fresh,
		Hashed: c.hashed.Load(), Ghost: c.ghost.Load(), Written: c.written.Load(), ZeroWrite: c.zero.Load(),
		Read: c.read.Load(), ReadZero: c.readZero.Load(), Verified: c.verified.Load(), Healed: c.healed.Load(),
		BadBlocks: c.badBlocks.Load(), ReadErrors: c.readErrors.Load(), Ahead: c.ahead.Load(),
		Checkpoints: c.checkpoints.Load(), Syncs: c.syncs.Load(),
	}
}

// ResetStats sets every count of work done back to 0.
func (v *Volume) ResetStats() {
	c := &v.stats
	for _, x := range []*atomic.Uint64{&c.hashed, &c.ghost, &c.written, &c.zero, &c.read, &c.readZero, &c.verified,
		&c.healed, &c.badBlocks, &c.readErrors, &c.checkpoints, &c.syncs, &c.ahead} {
		x.Store(0)
	}
}
