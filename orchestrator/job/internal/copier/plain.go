package copier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// Plain is a target that is an ordinary directory, such as that of a buffer disk. It is used by one Copy at a time, and closed after it.
type Plain struct {
	Dir string

	open map[string]*os.File // that were put to since the last Sync: an error of writing comes to who has the file open
}

// PlainBlock is the unit in which a Plain counts, in bytes.
const PlainBlock = 4096

// plainFiles is how many files are open at most.
const plainFiles = 200

// Root implements Target.
func (p *Plain) Root() string { return p.Dir }

// Put implements Target. Everything counts as new.
func (p *Plain) Put(ctx context.Context, m *orchestrator.Memory, parts []orchestrator.Part) ([]orchestrator.Added, error) {
	list := make([]orchestrator.Added, len(parts))
	for i := range parts {
		part := &parts[i]
		err := context.Cause(ctx)
		if err == nil {
			err = p.put(m, part)
		}
		if err != nil {
			return nil, fmt.Errorf("store %s at %d: %w", part.Path, part.Off, err)
		}
		if part.From >= 0 {
			list[i].New = uint64((part.N + PlainBlock - 1) / PlainBlock)
		}
	}
	return list, nil
}

func (p *Plain) put(m *orchestrator.Memory, part *orchestrator.Part) error {
	if !filepath.IsLocal(part.Path) {
		return fmt.Errorf("it is no path below %s", p.Dir)
	}
	f, err := p.file(part.Path)
	if err != nil {
		return err
	}
	if part.From >= 0 {
		n, err := f.WriteAt(m.Bytes()[part.From:][:part.N], part.Off)
		if err == nil && int64(n) < part.N {
			err = io.ErrShortWrite
		}
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if end := part.Off + part.N; info.Size() < end {
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, part.Off, part.N)
	if errors.Is(err, unix.ENOTSUP) {
		return zeros(f, part.Off, part.N)
	}
	return err
}

// zeros writes them where a file system has no holes.
func zeros(f *os.File, off, n int64) error {
	buf := make([]byte, min(n, piece))
	for end := off + n; off < end; {
		k, err := f.WriteAt(buf[:min(end-off, piece)], off)
		if err != nil {
			return err
		}
		off += int64(k)
	}
	return nil
}

// file opens what was not open.
func (p *Plain) file(path string) (*os.File, error) {
	if f := p.open[path]; f != nil {
		return f, nil
	}
	if len(p.open) >= plainFiles {
		if err := p.Sync(context.Background()); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(filepath.Join(p.Dir, path), os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if p.open == nil {
		p.open = map[string]*os.File{}
	}
	p.open[path] = f
	return f, nil
}

// Sync implements Target for what was put.
func (p *Plain) Sync(context.Context) error {
	var errs []error
	for path, f := range p.open {
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			errs = append(errs, fmt.Errorf("sync %s: %w", path, err))
		}
	}
	p.open = nil
	return errors.Join(errs...)
}

// Close lets go of what was not synced.
func (p *Plain) Close() error {
	var errs []error
	for _, f := range p.open {
		errs = append(errs, f.Close())
	}
	p.open = nil
	return errors.Join(errs...)
}
