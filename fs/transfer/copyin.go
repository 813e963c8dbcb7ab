package transfer

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"time"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// InOptions say how a file is stored.
type InOptions struct {
	Mode     iofs.FileMode // permissions; 0: those of the file that is replaced, else 0600
	Modified time.Time     // zero: now
	// Verify reads the new file back before it gets its name, every block proved. A block that it links to and that is bad leaves the index, and the
	// input is stored once more where it can be read again (FromFile); else the copy fails, and trying again mends it.
	Verify bool
	// Complete, if not nil, is called when the input has come to its end, and waits until it is known that nothing is missing; an error ends the copy.
	Complete func(ctx context.Context) error
	// Progress shows how far it is, in bytes; nil: nothing.
	Progress progress.Func
}

// Written is what storing a file did.
type Written struct {
	Bytes int64  `json:"bytes"`
	New   uint64 `json:"new_blocks"`
	Known uint64 `json:"known_blocks"`
	Zero  uint64 `json:"zero_blocks"` // holes not counted
}

// Place is where a file is put: a name in a directory of the tree of files. It is used by one goroutine.
type Place interface {
	// String is the name, for messages.
	String() string
	// Begin makes the new file, which has not its name yet, and returns it open for reading and writing, with its inode number. The file is the
	// caller's to close, at last before Drop.
	Begin() (f disk.File, inode uint64, err error)
	// Dress gives the new file the attributes of the one that it replaces, and what o says.
	Dress(o InOptions) error
	// Publish gives the new file, which is on the disk, its name, durably. What was there is replaced as a whole. The file is still open.
	Publish() error
	// Drop takes a new file away that is not to be.
	Drop() error
}

// CopyIn stores a file. Path is relative to the tree of files; its directory must exist. What was there is replaced as a whole once the new
// content is on the disk: after an error, a kill or a power cut it is what it was. It keeps its owner and extended attributes; other names
// of it keep the old content. Leftovers of killed copies in that directory are removed. No room is an error of class format.ErrNoSpace; what was stored
// by then is freed by the next reclaim.
func (t *Target) CopyIn(ctx context.Context, path string, in Input, o InOptions) (*Written, error) {
	p, err := t.place(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	w, err := (&storing{vol: t.vol, files: t.files, workers: t.workers, o: o}).store(ctx, p, in)
	if fell := index.PanicOf(err); fell != nil {
		t.vol.Halfway(err)
		err = fmt.Errorf("%w\n%s", err, fell.Stack) // there is no log
	}
	return w, err
}

// storing is one copy into a volume.
type storing struct {
	vol     *index.Volume
	files   *openfile.Manager
	workers int // 0: the caller's goroutine
	o       InOptions
}

func (s *storing) store(ctx context.Context, p Place, in Input) (*Written, error) {
	w, err := s.into(ctx, p, in)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", p, err)
	}
	return w, nil
}

func (s *storing) into(ctx context.Context, p Place, in Input) (*Written, error) {
	under, inode, err := p.Begin()
	if err != nil {
		return nil, room(err)
	}
	f, err := s.files.Open(openfile.ID(inode), func() (disk.File, error) { return under, nil })
	if err != nil { // under is closed
		return nil, errors.Join(err, p.Drop())
	}
	h := f.NewHandle()
	var w *Written
	err = index.Caught(func() (err error) {
		if w, err = s.fillVerified(ctx, h, in); err != nil {
			return err
		}
		return s.name(ctx, p, h)
	})
	err = errors.Join(err, f.Close(), h.Close())
	if err != nil {
		return nil, errors.Join(err, p.Drop())
	}
	return w, nil
}

// name gives a file that has its content its attributes and, when all of it is on the disk, its name.
func (s *storing) name(ctx context.Context, p Place, h *openfile.Handle) error {
	if s.o.Complete != nil {
		if err := s.o.Complete(ctx); err != nil {
			return err
		}
	}
	err := p.Dress(s.o)
	if err == nil {
		err = room(h.Sync(false))
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		// Still open: a reclaim sees the file either so or by its name.
		err = p.Publish()
	}
	return err
}

// fillVerified writes the content and, where that is asked for, reads it back.
func (s *storing) fillVerified(ctx context.Context, h *openfile.Handle, in Input) (*Written, error) {
	w, err := s.fill(ctx, h, in)
	if err != nil || !s.o.Verify {
		return w, err
	}
	err = s.verify(ctx, h, w.Bytes)
	if !in.again() || !errors.Is(err, format.ErrIO) {
		return w, err
	}
	if err := h.File().Truncate(0); err != nil {
		return w, room(err)
	}
	if w, err = s.fill(ctx, h, in); err == nil {
		err = s.verify(ctx, h, w.Bytes)
	}
	return w, err
}

// verify reads all of the file, also past a bad block, so that all of these leave the index. The first error is returned.
func (s *storing) verify(ctx context.Context, h *openfile.Handle, size int64) (first error) {
	meter := progress.New(s.o.Progress, "verify", progress.Bytes, uint64(size))
	bs := int64(s.vol.Geometry().BlockSize)
	buf := make([]byte, max(pieceIn, bs))
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := h.ReadAt(buf, off)
		switch {
		case errors.Is(err, format.ErrIO):
			if first == nil {
				first = fmt.Errorf("verify: %w", err)
			}
			n = int((off+int64(n))/bs*bs + bs - off) // go on behind the bad block
		case err != nil:
			return fmt.Errorf("verify: %w", err)
		case n == 0:
			return fmt.Errorf("verify: want %d bytes, have %d", size, off)
		}
		meter.Add(uint64(min(int64(n), size-off)))
		off += int64(n)
	}
	return first
}

// fill writes the content.
func (s *storing) fill(ctx context.Context, h *openfile.Handle, in Input) (*Written, error) {
	size, n, err := fillFrom(ctx, h, in, s.workers, int64(s.vol.Geometry().BlockSize), s.o.Progress)
	if err == nil && h.File().Size() != size {
		err = h.File().Truncate(size)
	}
	if err == nil {
		err = h.File().Drain()
	}
	return &Written{Bytes: size, New: n.New, Known: n.Known, Zero: n.Zero}, room(err)
}

// place is a name in a volume that nobody serves.
func (t *Target) place(path string) (Place, error) {
	name, err := within(t.fs, t.root, path)
	if err == nil {
		err = clean(t.fs, filepath.Dir(name))
	}
	if err != nil {
		return nil, err
	}
	old, err := replaceable(t.fs, name)
	if err != nil {
		return nil, err
	}
	return &ownPlace{t: t, tmp: tempName(name), name: name, old: old != nil}, nil
}

// ownPlace makes the new file under a temporary name.
type ownPlace struct {
	t         *Target
	tmp, name string
	old       bool
	id        uint64
}

// String implements Place.
func (p *ownPlace) String() string { return p.name }

// Begin implements Place.
func (p *ownPlace) Begin() (disk.File, uint64, error) { return p.t.create(p.tmp, &p.id) }

// Dress implements Place.
func (p *ownPlace) Dress(o InOptions) error {
	x, ok := p.t.fs.(disk.Objects)
	if !ok {
		return nil // a disk without attributes, in tests
	}
	from := p.tmp
	if p.old {
		from = p.name
	}
	a, err := x.Attributes(from)
	if err != nil {
		return err
	}
	if o.Mode != 0 {
		a.Mode = uint32(o.Mode.Perm())
	}
	now := time.Now()
	a.Access, a.Modified = now, o.Modified
	if a.Modified.IsZero() {
		a.Modified = now
	}
	return x.SetAttributes(p.tmp, a)
}

// Publish implements Place.
func (p *ownPlace) Publish() error {
	if err := p.t.rename(p.tmp, p.name, p.id); err != nil {
		return err
	}
	if err := p.t.fs.SyncDir(filepath.Dir(p.name)); err != nil {
		return p.t.vol.SyncFailed(err)
	}
	return nil
}

// Drop implements Place.
func (p *ownPlace) Drop() error { return removeTemp(p.t.fs, p.tmp) }
