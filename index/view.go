package index

import (
	"sync"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/format"
)

// piecesMost bounds the pieces of one view. A system call takes a thousand of them and refuses more, and the request that it should have answered would wait
// for ever; and many small ones are copied faster.
const piecesMost = 32

// zeroLeast is the least size of the block of zeros, in bytes, so that a hole is a few pieces.
const zeroLeast = 128 << 10

// Piece is a part of what a view shows.
type Piece = blockfile.Piece

// View shows n bytes of consecutive entries of a file, beginning off bytes into the first one, as the page cache has them, in pieces that are appended to
// list; entries must cover n. ok is false if one of the blocks was not proved before, or is not in memory, or lies elsewhere than its entry says: then Read
// is to be used, and the list is as it was.
//
// The caller is between Enter and Leave from before he read the entries until after EndView: until then the blocks stay what they are. He must not touch
// the bytes but have the kernel copy them.
func (r *Reader) View(entries []format.Entry, off, n int, list []Piece) (_ []Piece, ok bool) {
	v, bs, before := r.v, r.v.geo.BlockSize, len(list)
	for i := 0; n > 0; {
		if zeros := v.zeroRun(entries[i:]); zeros > 0 {
			part := min(zeros*bs-off, n)
			n, off = n-part, 0
			i += zeros
			for ; part > 0 && len(list)-before < piecesMost; part -= len(list[len(list)-1].Bytes) {
				list = append(list, Piece{Bytes: v.zeros()[:min(part, len(v.zeros()))]})
			}
			if part > 0 {
				v.EndView(list[before:])
				return list[:before], false
			}
			continue
		}
		e := &entries[i]
		run := v.provenRun(entries[i:])
		end := min(run*bs, off+n) // of what the run gives, from its first byte on
		for off < end && len(list)-before < piecesMost {
			p, there := v.mapped.View(e.Addr+format.Address(off/bs), off%bs, end-off)
			if !there {
				break
			}
			list = append(list, p)
			off, n = off+len(p.Bytes), n-len(p.Bytes)
		}
		if off < end || run == 0 {
			v.EndView(list[before:])
			return list[:before], false
		}
		v.stats.read.Add(uint64(run))
		i, off = i+run, 0
	}
	return list, true
}

// EndView gives back what View returned.
func (v *Volume) EndView(list []Piece) {
	for _, p := range list {
		v.mapped.Done(p)
	}
	clear(list)
}

// provenRun is how many of the first entries name blocks that are proved and lie side by side.
func (v *Volume) provenRun(entries []format.Entry) int {
	run := 0
	for run < len(entries) {
		e := &entries[run]
		if !v.usable(e.Addr) || e.Addr != entries[0].Addr+format.Address(run) || !v.proven(e) {
			break
		}
		run++
	}
	return run
}

// zeroRun is how many of the first entries are zero blocks.
func (v *Volume) zeroRun(entries []format.Entry) int {
	run := 0
	for run < len(entries) && v.geo.IsZeroBlock(&entries[run]) {
		run++
	}
	return run
}

// zeros are zeros, which nobody writes to: a block or more.
func (v *Volume) zeros() []byte {
	v.zeroOnce.Do(func() { v.zeroBlock = make([]byte, max(v.geo.BlockSize, zeroLeast)) })
	return v.zeroBlock
}

// pastLeast is how much of the block file has to lie in one piece to be read past the page cache, in bytes. Below that its own reading ahead is worth more.
const pastLeast = 256 << 10

// pastMost is how many reads past the page cache are at the disk at a time; those that came first go first. All at once they would be done at the same time too, and the processors
// would wait for the first of them: with so many the disk is busy, and what is needed first is there first (docs/decisions/0012).
const pastMost = 6

// past reads blocks without a place in the page cache.
type past struct {
	once  sync.Once
	file  *blockfile.File // nil: the file system does not offer it
	slots chan struct{}   // pastMost; who waits gets one in turn. Set by once
}

// readRun reads blocks that lie side by side, and tells whether that was past the page cache.
func (r *Reader) readRun(first format.Address, p []byte) (past bool, err error) {
	if r.past && len(p) >= pastLeast && r.v.readPast(first, p) {
		return true, nil
	}
	return false, r.v.blocks.Read(first, p)
}

// again reads a block as ever that was read past the page cache and could not be proved, and proves it. Not every file system keeps both ways
// of reading together, and a block leaves the index only for what all others would read of it.
func (r *Reader) again(e *format.Entry, block []byte) bool {
	if r.v.blocks.Read(e.Addr, block) != nil {
		return false
	}
	sum := r.v.geo.Kind.Sum(block)
	return r.v.prove(e, &sum)
}

// readPast reads blocks past the page cache if they are not in it. false: they are to be read as ever, which tells what is wrong if something is.
func (v *Volume) readPast(first format.Address, p []byte) bool {
	if v.mapped.Cached(first, len(p)) {
		return false
	}
	return v.pastFile() != nil && v.past.read(first, p) == nil
}

// pastFile is the block file without the page cache, nil where there is no such way.
func (v *Volume) pastFile() *blockfile.File {
	v.past.once.Do(func() { v.past.file, v.past.slots = v.openPast(), make(chan struct{}, pastMost) })
	return v.past.file
}

// read waits for its turn, and gives it on also after a panic, which the mount answers with an error: the file is there.
func (p *past) read(first format.Address, b []byte) error {
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	return p.file.Read(first, b)
}

// openPast opens the block file a second time; nil if that is not possible, or not the same file any more: a block that was proved in the one is
// not proved in the other.
func (v *Volume) openPast() *blockfile.File {
	f, err := blockfile.OpenDirect(v.parent.FS, v.parent.BlocksPath, v.geo, true)
	if err != nil {
		return nil
	}
	if !sameFile(f.Disk(), v.blocks.Disk()) {
		_ = f.Close() // of a file that was only opened
		return nil
	}
	return f
}

// sameFile tells whether two open files are known to be one.
func sameFile(a, b disk.File) bool {
	x, ok := a.(interface {
		Inode() (dev, ino uint64, err error)
	})
	y, ok2 := b.(interface {
		Inode() (dev, ino uint64, err error)
	})
	if !ok || !ok2 {
		return false
	}
	d1, i1, err1 := x.Inode()
	d2, i2, err2 := y.Inode()
	return err1 == nil && err2 == nil && d1 == d2 && i1 == i2
}

func (p *past) close() error {
	p.once.Do(func() {})
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}

// Past says whether the next reads may go past the page cache: for a caller who passes on what he gets to somebody who keeps it himself, so that
// nothing is kept twice.
func (r *Reader) Past(yes bool) { r.past = yes }
