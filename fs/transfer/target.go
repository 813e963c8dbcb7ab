package transfer

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
)

// Target writes files into a volume that is open for writing and not served by a mount. It is used by one goroutine. Close ends it; the
// volume stays open and is the caller's.
type Target struct {
	vol     *index.Volume
	fs      disk.FS
	root    string
	files   *openfile.Manager
	workers int

	stop chan struct{}
	work sync.WaitGroup
	// failed is the first error of a checkpoint.
	failed atomic.Pointer[error]
}

// NewTarget starts the pipeline with so many workers; 0 means one for each processor, less than 0 none: every write does it all itself.
func NewTarget(v *index.Volume, workers int) *Target {
	switch {
	case workers == 0:
		workers = cores.Count()
	case workers < 0:
		workers = 0
	}
	p := v.Parent()
	t := &Target{vol: v, fs: p.FS, root: p.Root, workers: workers, stop: make(chan struct{})}
	t.files = openfile.NewManager(openfile.Config{Volume: v, Workers: workers})
	t.work.Go(t.checkpoints)
	return t
}

// checkpoints writes the index when enough has come together, as a mount does.
func (t *Target) checkpoints() {
	for {
		select {
		case <-t.stop:
			return
		case <-t.vol.CheckpointDue():
			if err := t.vol.Checkpoint(); err != nil {
				t.failed.CompareAndSwap(nil, &err)
			}
		}
	}
}

// Close waits for everything. Errors of files were returned where the files were copied.
func (t *Target) Close() error {
	err := t.files.Close()
	close(t.stop)
	t.work.Wait()
	if p := t.failed.Load(); p != nil {
		err = errors.Join(err, fmt.Errorf("checkpoint: %w", *p))
	}
	return err
}

// draft is a file under its temporary name.
type draft struct {
	t         *Target
	tmp, name string
	id        uint64 // inode number
	h         *openfile.Handle
}

// begin makes the temporary file for the underlying file name.
func (t *Target) begin(name string) (*draft, error) {
	d := &draft{t: t, tmp: tempName(name), name: name}
	under, id, err := t.create(d.tmp, &d.id)
	if err != nil {
		return nil, room(err)
	}
	f, err := t.files.Open(openfile.ID(id), func() (disk.File, error) { return under, nil })
	if err != nil { // under is closed
		return nil, errors.Join(err, removeTemp(t.fs, d.tmp))
	}
	d.h = f.NewHandle()
	return d, f.Close() // one of two references: closes nothing
}

// create makes a file under a temporary name and notes its inode number.
func (t *Target) create(tmp string, id *uint64) (disk.File, uint64, error) {
	f, err := t.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, 0, err
	}
	if *id, err = inode(t.fs, tmp); err != nil {
		return nil, 0, errors.Join(err, f.Close(), removeTemp(t.fs, tmp))
	}
	return f, *id, nil
}

// WriteAt and Zero make a draft an Output: what is not written stays a hole.
func (d *draft) WriteAt(p []byte, off int64) (int, error) {
	n, err := d.h.WriteAt(p, off)
	return n, room(err)
}

// Zero implements Output.
func (*draft) Zero(int64, int64) error { return nil }

// end gives the file its size and brings everything into the underlying file.
func (d *draft) end(size int64) error {
	err := d.h.Flush()
	if err == nil && d.h.File().Size() != size {
		err = d.h.File().Truncate(size)
	}
	if err == nil {
		err = d.h.File().Drain()
	}
	return room(err)
}

// drop ends a draft that is not to be: its name is gone afterwards.
func (d *draft) drop() error {
	return errors.Join(d.h.Close(), removeTemp(d.t.fs, d.tmp))
}

// rename gives a draft its name, if it is still what has the temporary one.
func (d *draft) rename() error { return d.t.rename(d.tmp, d.name, d.id) }

func (t *Target) rename(tmp, name string, id uint64) error {
	have, err := inode(t.fs, tmp)
	if err == nil && have != id {
		err = fmt.Errorf("%s was replaced by another file meanwhile", tmp)
	}
	if err != nil {
		return err
	}
	return t.fs.Rename(tmp, name)
}

// inode is the number of the file.
func inode(fs disk.FS, name string) (uint64, error) {
	info, err := fs.Lstat(name)
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("lstat %s: no inode number: %w", name, disk.ErrUnsupported)
	}
	return st.Ino, nil
}

// room gives an error of a full disk its class.
func room(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return format.Mark(format.ErrNoSpace, err)
	}
	return err
}

// replaceable refuses a target that is there and is no regular file. info is nil where there is none.
func replaceable(fs disk.FS, name string) (info iofs.FileInfo, err error) {
	info, err = fs.Lstat(name)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is %s, not a regular file: %w", name, kindOf(info.Mode()), syscall.EINVAL)
	}
	return info, nil
}

func kindOf(m iofs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a regular file"
	case m.IsDir():
		return "a directory"
	case m&iofs.ModeSymlink != 0:
		return "a symbolic link"
	case m&iofs.ModeNamedPipe != 0:
		return "a fifo"
	case m&iofs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// relative is the name below the root, for messages and lists.
func (t *Target) relative(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, t.root), string(filepath.Separator))
}
