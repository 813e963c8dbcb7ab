package indexcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/statefile"
)

// ErrChanging: the index was written to while it was copied. The engine does that at its checkpoints only: later there will be a moment.
var ErrChanging = errors.New("the index is being written")

// Checkpoint lays a copy of the index on the volume while a session is open, for the case that this machine's disk is lost before the session is closed. It may be
// killed at any point. done: a copy was made; otherwise there is no session of ours, or nothing has changed since the last one. Of the volume's disk it takes
// no more than leaves the same room again.
func (c *Cache) Checkpoint(ctx context.Context, p Place) (done bool, err error) {
	j, err := c.open(p)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	vol, err := readMark(j.parent, volumeMark, j.ID)
	if err != nil || vol == nil || vol.Complete {
		return false, err
	}
	local, err := j.localMark()
	if err != nil || local == nil || local.Session != vol.Session {
		return false, err
	}
	done, err = j.copyNow(ctx, *local)
	if err != nil {
		err = fmt.Errorf("copy of the index of volume %s on its disk: %w", j.ID, err)
	}
	return done, err
}

// copyNow is steps a and b.
func (j *job) copyNow(ctx context.Context, m Mark) (done bool, err error) {
	f, err := statefile.Open(j.dir, j.name(), 1<<62)
	if err != nil {
		return false, err
	}
	defer f.Close() // it was read only
	before, err := f.Stat()
	if err != nil {
		return false, err
	}
	last, err := readMark(j.parent, j.name()+markSuffix, j.ID)
	if err != nil && !errors.Is(err, errDamaged) {
		return false, err
	}
	m.Complete, m.CheckOwed, m.When, m.Host, m.MTime = false, false, j.Clock.Now().UTC(), j.Host, before.ModTime().UnixNano()
	if last != nil && last.Session == m.Session && last.MTime == m.MTime && last.Size == before.Size() {
		return false, nil
	}
	if err := j.room(before.Size()); err != nil {
		return false, err
	}
	if err := j.step(ctx, "copy during the session"); err != nil {
		return false, err
	}
	err = statefile.Replace(j.parent, j.name(), 0o600, func(w io.Writer) error {
		if m.Size, m.Sum, err = pump(ctx, w, &watched{f, before}); err != nil {
			return err
		}
		if ctx.Err() != nil { // whoever ended it may unmount the disk
			return context.Cause(ctx)
		}
		return unchanged(f, before)
	})
	if err != nil {
		return false, err
	}
	if err := j.readBack(ctx, j.parent, m.Size, m.Sum); err != nil {
		return false, err // its mark says something else: it is not used
	}
	if err := j.step(ctx, "mark of the copy during the session"); err != nil {
		return false, err
	}
	return true, writeMark(j.parent, j.name()+markSuffix, m)
}

// watched is a file that must not change while it is read: reading ends with ErrChanging where it does, before all of it was copied in vain.
type watched struct {
	f      *os.File
	before os.FileInfo
}

func (w *watched) Read(p []byte) (int, error) {
	if err := unchanged(w.f, w.before); err != nil {
		return 0, err
	}
	return w.f.Read(p)
}

// unchanged is ErrChanging if the file was written to since.
func unchanged(f *os.File, before os.FileInfo) error {
	now, err := f.Stat()
	if err == nil && (now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime())) {
		err = ErrChanging
	}
	return err
}

// room refuses a copy that would take what the backups need.
func (j *job) room(size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(j.Parent, &st); err != nil {
		return fmt.Errorf("room on the disk of %s: %w", j.Parent, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < 2*size {
		return fmt.Errorf("%d bytes are free on the disk of %s, want twice the %d of the index: %w", free, j.Parent, size, unix.ENOSPC)
	}
	return nil
}
