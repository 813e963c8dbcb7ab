// Package control makes what the special directory of a mounted volume shows (statistics, their reset, a reclaim) and answers what is asked for
// on its control socket (Operations). It owns the texts, the arguments and answers of the operations, and which scrub runs; the volume it knows by
// the calls it needs.
package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	iofs "io/fs"

	"tresor/index"
	"tresor/index/reclaim"
)

// Source is what the special files need of the mounted volume. Safe for concurrent use.
type Source interface {
	// Stats returns what was counted since the mount or the last reset.
	Stats() index.Stats
	ResetStats()
	// Reclaim runs a reclaim to its end.
	Reclaim(ctx context.Context) (*reclaim.Report, error)
	// Settings returns what does not change by itself.
	Settings() Settings
}

// Settings of the mount that stats shows.
type Settings struct {
	Overflow    float64 `json:"overflow"`
	DirectIO    bool    `json:"direct_io"`
	LockIndex   bool    `json:"lock_index"`
	WriterPool  int     `json:"writer_pool"`
	ReclaimAt   int     `json:"reclaim"`      // percent
	NextReclaim int     `json:"next_reclaim"` // percent
}

// Files serves the special files of one mount.
type Files struct {
	ctx context.Context // of the mount: ends a reclaim when the volume is unmounted
	src Source
}

// New returns the special files of a mount that lives as long as ctx.
func New(ctx context.Context, src Source) *Files { return &Files{ctx: ctx, src: src} }

// Open makes the content of a special file as it is at this moment.
func (f *Files) Open(name string) ([]byte, error) {
	var b bytes.Buffer
	switch name {
	case "stats":
		f.stats(&b)
	case "stats0":
		f.stats(&b)
		f.src.ResetStats()
	case "reclaim":
		rep, err := f.src.Reclaim(f.ctx)
		if err != nil {
			return nil, err
		}
		if err := rep.WriteText(&b); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("special file %s: %w", name, iofs.ErrNotExist)
	}
	return b.Bytes(), nil
}

// stats prints a name a line, left-justified in 30 columns, a blank, and the value right-justified in 9. Counters at 0 are left out.
func (f *Files) stats(w io.Writer) {
	s, set := f.src.Stats(), f.src.Settings()
	line := func(name string, value any) { fmt.Fprintf(w, "%-30s %9v\n", name, value) }
	line("block_allocated", s.Allocated)
	line("block_free", s.Free)
	line("block_size", s.BlockSize)
	line("overflow", fmt.Sprintf("%.2f", set.Overflow))
	line("direct_io", onOff(set.DirectIO))
	line("lock_index", onOff(set.LockIndex))
	line("hash", s.Hash)
	line("writer_pool", set.WriterPool)
	line("reclaim", set.ReclaimAt)
	line("next_reclaim", set.NextReclaim)
	for _, c := range []struct {
		name  string
		value uint64
	}{
		{"hash", s.Hashed}, {"block_write", s.Written}, {"ghost_write", s.Ghost}, {"block_write_zero", s.ZeroWrite},
		{"block_read", s.Read}, {"block_read_zero", s.ReadZero}, {"block_verified", s.Verified}, {"block_healed", s.Healed},
		{"block_bad", s.BadBlocks}, {"read_errors", s.ReadErrors}, {"block_fresh", s.Fresh}, {"checkpoints", s.Checkpoints}, {"syncs", s.Syncs},
	} {
		if c.value != 0 {
			line(c.name, c.value)
		}
	}
}

func onOff(b bool) int {
	if b {
		return 1
	}
	return 0
}
