package scrub

import (
	iofs "io/fs"
	"path/filepath"
	"sync/atomic"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
)

// trapFS is a disk whose reads of the block file, behind its beginning, panic while it is armed.
type trapFS struct {
	disk.FS
	armed atomic.Bool
}

func (f *trapFS) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	d, err := f.FS.OpenFile(name, flag, perm)
	if err != nil || filepath.Base(name) != format.DefaultBlocksName {
		return d, err
	}
	return trapFile{d, f}, nil
}

type trapFile struct {
	disk.File
	fs *trapFS
}

func (f trapFile) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 && f.fs.armed.Load() {
		panic("a bug for the test")
	}
	return f.File.ReadAt(p, off)
}

// TestPanicOfAWorker is the error of the run, and no block counts as proved by it.
func TestPanicOfAWorker(t *testing.T) {
	r := newRig(t, 512)
	r.fill(4, 50)
	r.close()
	trap := &trapFS{FS: r.m}
	p, err := index.Acquire(index.Location{FS: trap, Parent: parent}, index.Write)
	must(t, err)
	r.vol, err = index.Open(p, index.Options{})
	must(t, err)
	trap.armed.Store(true)
	if rep, err := Run(t.Context(), r.vol, Options{}); index.PanicOf(err) == nil || rep.Complete || rep.Bad != 0 {
		t.Errorf("have %+v, %v", rep, err)
	}
	trap.armed.Store(false)
	if st, err := ReadStatus(r.vol); err != nil || st.Never == 0 {
		t.Errorf("status: have %+v, %v", st, err)
	}
	if rep := r.scrub(Options{}); !rep.Complete || rep.Bad != 0 || rep.Blocks < 200 {
		t.Errorf("the next run: have %+v", rep)
	}
	r.close()
}
