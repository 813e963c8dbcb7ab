package control

import (
	"context"

	"tresor/fs/socket"
	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/progress"
	"tresor/index/scrub"
)

// Names of the operations on parts of stored files, and of that which tells how full the volume is.
const (
	OpIngestRange = "ingest-range"
	OpSync        = "sync"
	OpReadBack    = "read-back"
	OpUsage       = "usage"
)

// MaxRuns is how many runs of blocks the arguments of read-back may have: a request is one line of at most 64 KiB.
const MaxRuns = 1000

// IngestRangeArgs are the arguments of ingest-range, with which a sealed memory comes (transfer.Served.IngestRange).
type IngestRangeArgs struct {
	Parts []PartArgs `json:"parts"`
}

// PartArgs say where a part goes, and where it lies in the memory; a hole has a negative From. Numbers are bytes.
type PartArgs struct {
	// Path is relative to the root of the volume.
	Path   Path  `json:"path"`
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
	From   int64 `json:"from"`
}

// IngestRangeResult is the answer of ingest-range: what each part did.
type IngestRangeResult struct {
	Parts []transfer.Ranged `json:"parts"`
}

// ReadBackArgs are the arguments of read-back, with which a pipe may come.
type ReadBackArgs struct {
	Path Path `json:"path"`
	// Whole reads all blocks, else those of Runs: number of the first block and how many, in order.
	Whole bool        `json:"whole,omitempty"`
	Runs  [][2]uint64 `json:"runs,omitempty"`
	// Count has those counted that are not read.
	Count bool `json:"count,omitempty"`
}

// ReadBackResult is the answer of read-back, also beside an error.
type ReadBackResult struct {
	transfer.Back
	// Scrubbed is since when every block of the volume was proved by a scrub, in seconds since 1970; 0: never, or some never were.
	Scrubbed int64 `json:"scrubbed,omitempty"`
}

// UsageResult is the answer of usage.
type UsageResult struct {
	BlockSize int `json:"block_size"` // bytes
	// Blocks are all that the volume has, Used those in use, what a reclaim would free included.
	Blocks     uint64 `json:"blocks"`
	Used       uint64 `json:"used"`
	Scrubbed   int64  `json:"scrubbed,omitempty"` // as in ReadBackResult
	Reclaiming bool   `json:"reclaiming"`
}

// Ranger works on parts of stored files of the mounted volume. It takes over descriptors; each may be nil.
type Ranger interface {
	IngestRange(ctx context.Context, d transfer.Held, parts []transfer.Part, show progress.Func) ([]transfer.Ranged, error)
	Sync() error
	ReadBack(ctx context.Context, path string, d transfer.Held, o transfer.BackOptions) (*transfer.Back, error)
}

// scrubbed is since when every block of the volume was proved by a scrub, in seconds since 1970; 0: never, or some never were.
func scrubbed(v *index.Volume) (int64, error) {
	st, err := scrub.ReadStatus(v)
	if err != nil || st.Never > 0 {
		return 0, err
	}
	return st.Oldest, nil
}

// AddRanges adds the operations on parts of stored files, and usage.
func AddRanges(to socket.Operations, c Ranger, v *index.Volume) {
	to[OpIngestRange] = func(ctx context.Context, r *socket.Request) (any, error) {
		var a IngestRangeArgs
		held, err := maySend(r, &a)
		if err != nil {
			return nil, err
		}
		parts := make([]transfer.Part, len(a.Parts))
		for i, p := range a.Parts {
			parts[i] = transfer.Part{Path: string(p.Path), Off: p.Offset, N: p.Length, From: p.From}
		}
		done, err := c.IngestRange(ctx, held, parts, progressTo(r))
		if err != nil {
			return nil, err
		}
		return &IngestRangeResult{done}, nil
	}
	to[OpSync] = func(_ context.Context, r *socket.Request) (any, error) {
		err := r.Decode(&struct{}{})
		if err == nil {
			err = c.Sync()
		}
		return nil, err
	}
	to[OpReadBack] = func(ctx context.Context, r *socket.Request) (any, error) {
		var a ReadBackArgs
		held, err := maySend(r, &a)
		if err != nil {
			return nil, err
		}
		o := transfer.BackOptions{Whole: a.Whole, Count: a.Count, Progress: progressTo(r)}
		for _, run := range a.Runs {
			o.Runs = append(o.Runs, transfer.Run{First: run[0], Count: run[1]})
		}
		res := &ReadBackResult{}
		// Before the reading: what a scrub proves meanwhile is none of what this result is about.
		var serr error
		res.Scrubbed, serr = scrubbed(v)
		back, err := c.ReadBack(ctx, string(a.Path), held, o)
		if back != nil {
			res.Back = *back
		}
		if err == nil {
			err = serr
		}
		return res, err
	}
	to[OpUsage] = func(_ context.Context, r *socket.Request) (any, error) {
		if err := r.Decode(&struct{}{}); err != nil {
			return nil, err
		}
		st := v.Stats()
		at, err := scrubbed(v)
		if err != nil {
			return nil, err
		}
		return &UsageResult{BlockSize: st.BlockSize, Blocks: st.Allocated + st.Free, Used: st.Allocated, Scrubbed: at, Reclaiming: v.Marking()}, nil
	}
}

// maySend takes the descriptor of a request that may have one, and its arguments. Without one held is nil.
func maySend(r *socket.Request, args any) (held transfer.Held, err error) {
	d := r.Descriptor()
	if err := r.Decode(args); err != nil {
		if d != nil {
			d.Drop()
		}
		return nil, err
	}
	if d != nil {
		held = d
	}
	return held, nil
}
