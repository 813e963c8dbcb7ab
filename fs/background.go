package fs

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"

	"tresor/fs/control"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/reclaim"
)

// tick is how often the background looks whether something is to be done.
const tick = time.Second

// work is the mount's background: checkpoints when enough was written, flushes of what lies too long in memory, rest when the volume is
// quiet, and a reclaim when it gets full.
func (m *Mounted) work(ctx context.Context) {
	cfg := m.vol.Parent().Config
	flushAge := time.Duration(cfg.AutoBufferFlush) * time.Second
	idle := time.Duration(cfg.AutoSync) * time.Second
	complain := m.complainer()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.vol.CheckpointDue():
			complain("checkpoint", m.vol.Checkpoint())
		case <-t.C:
			m.files.FlushOlder(flushAge)
			_, err := m.vol.Quiesce(idle, m.files.FlushAll)
			complain("bring the volume to rest", err)
			m.reclaimIfFull(ctx)
		}
	}
}

// complainer logs errors of work that is tried again all the time: each text once until the work succeeds or fails otherwise.
func (m *Mounted) complainer() func(what string, err error) {
	said := make(map[string]string)
	return func(what string, err error) {
		switch {
		case err == nil:
			delete(said, what)
		case said[what] != err.Error():
			said[what] = err.Error()
			m.log.WithError(err).Error(what)
		}
	}
}

// reclaimIfFull reclaims when usage has passed the limit, and raises the limit half way to 100 when that did not bring it down. It runs
// beside the loop, which has checkpoints to make meanwhile.
func (m *Mounted) reclaimIfFull(ctx context.Context) {
	s := m.stats
	if m.o.ReclaimAt <= 0 || m.o.ReadOnly || m.vol.Marking() {
		return
	}
	if use := s.usage(); use < s.next.Load() {
		if use < int64(m.o.ReclaimAt)*percent {
			s.next.Store(int64(m.o.ReclaimAt) * percent)
		}
		return
	}
	next := s.next.Load()
	s.next.Store(next + (100*percent-next)/2)
	m.background.Go(func() {
		rep, err := s.Reclaim(ctx)
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, index.ErrReclaimRuns):
		case err != nil:
			m.log.WithError(err).Error("automatic reclaim")
		default:
			m.log.Infof("automatic reclaim freed %d bytes: %d blocks of %d are in use", rep.BytesFreed, rep.InUse, rep.Allocated+rep.NotAllocated)
		}
	})
}

// percent is the scale of statSource.next: hundredths of a percent.
const percent = 100

// statSource joins the special files, statfs and the reclaim to the volume.
type statSource struct {
	m     *Mounted
	next  atomic.Int64 // usage that starts the next reclaim, in 1/percent of a percent
	moved movedFiles
}

func newStatSource(m *Mounted) *statSource {
	s := &statSource{m: m}
	s.next.Store(int64(m.o.ReclaimAt) * percent)
	return s
}

// Stats, ResetStats and Settings implement control.Source.
func (s *statSource) Stats() index.Stats { return s.m.vol.Stats() }

// ResetStats implements control.Source.
func (s *statSource) ResetStats() { s.m.vol.ResetStats() }

// Settings implements control.Source.
func (s *statSource) Settings() control.Settings {
	return control.Settings{
		Overflow: s.m.vol.Parent().Config.Overflow, DirectIO: false, LockIndex: s.m.o.LockIndex && s.m.vol.LockError() == nil,
		WriterPool: s.m.o.Pool, ReclaimAt: s.m.o.ReclaimAt, NextReclaim: int(s.next.Load() / percent),
	}
}

// usage is the share of allocated blocks.
func (s *statSource) usage() int64 {
	st := s.m.vol.Stats()
	return int64(st.Allocated * 100 * percent / (st.Allocated + st.Free))
}

// Reclaim implements control.Source.
func (s *statSource) Reclaim(ctx context.Context) (*reclaim.Report, error) {
	return s.ReclaimWith(ctx, reclaim.Options{})
}

// ReclaimWith is Reclaim with the DryRun and Progress of o.
func (s *statSource) ReclaimWith(ctx context.Context, o reclaim.Options) (*reclaim.Report, error) {
	if !s.moved.start() {
		return nil, index.ErrReclaimRuns
	}
	defer s.moved.stop()
	o.Beside, o.Extra = s.moved.beside, s.extra
	rep, err := reclaim.Run(ctx, s.m.vol, o)
	return rep, s.m.fell(err)
}

// statFS shows the volume: its blocks, and of these free what is unused and has room on the disk below as well.
func (s *statSource) statFS(out *fusefs.StatfsOut) {
	st := s.m.vol.Stats()
	total := st.Allocated + st.Free
	free := st.Free
	if below := s.m.vol.DiskFree() / uint64(st.BlockSize); below < free {
		free = below
	}
	out.Blocks, out.Bfree, out.Bavail = total, free, free
	out.Bsize, out.Frsize = uint32(st.BlockSize), uint32(st.BlockSize)
}

// extra shows the reclaim what its walk cannot see: files that are open but have no name any more, and what was renamed or linked
// behind the walk.
func (s *statSource) extra(see func(name string, f disk.File) error) error {
	if err := s.m.files.EachUnlinked(see); err != nil {
		return err
	}
	return s.moved.drain(see)
}
