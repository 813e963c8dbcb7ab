package work

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"tresor/bench/counted"
	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/mkfs"
	"tresor/index/reclaim"
)

const (
	request = 1 << 20
	block   = 128 << 10
	mib     = 1 << 20
	// fileSize is large enough that what a file costs once disappears in what each MiB costs.
	fileSize = 64 << 20
)

// rig is a volume with the data path of the mount over it and a disk that counts below.
type rig struct {
	t      *testing.T
	dir    string
	before func(counted.Class) // of a write, see counted.FS
	disk   *counted.FS
	vol    *index.Volume
	files  *openfile.Manager
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigIn(t, t.TempDir())
}

// newRigIn makes the volume in a directory that is there.
func newRigIn(t *testing.T, base string) *rig {
	t.Helper()
	r := &rig{t: t, dir: filepath.Join(base, "volume")}
	must(t, os.Mkdir(r.dir, 0o700))
	_, err := mkfs.Make(mkfs.Options{Parent: r.dir, CreateOptions: format.CreateOptions{Hash: "BLAKE3", Size: 1 << 30, BlockSize: block, Overflow: 1.3}})
	must(t, err)
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	r.disk = counted.New(disk.OS())
	r.disk.BeforeWrite = r.before
	p, err := index.Acquire(index.Location{FS: r.disk, Parent: r.dir}, index.Write)
	must(r.t, err)
	r.vol, err = index.Open(p, index.Options{})
	must(r.t, err)
	r.files = openfile.NewManager(openfile.Config{Volume: r.vol, Workers: 2})
}

func (r *rig) close() { must(r.t, errors.Join(r.files.Close(), r.vol.Close())) }

func (r *rig) reopen() {
	r.close()
	r.open()
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, format.RootName, name) }

func (r *rig) open1(id int, name string) *openfile.Handle {
	r.t.Helper()
	f, err := r.files.Open(openfile.ID(id), func() (disk.File, error) {
		return r.disk.OpenFile(r.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	})
	must(r.t, err)
	h := f.NewHandle()
	must(r.t, f.Close())
	return h
}

// write stores data in requests of 1 MiB.
func (r *rig) write(h *openfile.Handle, data []byte) {
	r.t.Helper()
	for off := 0; off < len(data); off += request {
		_, err := h.WriteAt(data[off:min(off+request, len(data))], int64(off))
		must(r.t, err)
	}
}

func (r *rig) read(h *openfile.Handle, p []byte) {
	r.t.Helper()
	for off := int64(0); off < fileSize; off += int64(len(p)) {
		_, err := h.ReadAt(p, off)
		must(r.t, err)
	}
}

func (r *rig) reclaim() *reclaim.Report {
	r.t.Helper()
	rep, err := reclaim.Run(context.Background(), r.vol, reclaim.Options{})
	must(r.t, err)
	return rep
}

// done is what one piece of work took.
type done struct {
	work   [counted.Other + 1]counted.Work
	names  int64
	stats  index.Stats // differences of counters only
	allocs int64
}

func (d *done) of(c counted.Class) counted.Work { return d.work[c] }

// count runs a piece of work and counts. The collector rests meanwhile: it would empty pools, at a time of its choice.
func (r *rig) count(do func()) (d done) {
	r.t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	r.vol.ResetStats()
	for c := range d.work {
		d.work[c] = r.disk.Work(counted.Class(c))
	}
	names := r.disk.NameSyncs()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	d.allocs = int64(after.Mallocs - before.Mallocs)
	d.stats, d.names = r.vol.Stats(), r.disk.NameSyncs()-names
	for c := range d.work {
		d.work[c] = r.disk.Work(counted.Class(c)).Minus(d.work[c])
	}
	return d
}

// random is data without zero blocks or repetitions.
func random(seed byte, n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func per(n int64, of int) float64 { return float64(n) / float64(of) }

func name(i int) string { return fmt.Sprintf("file%d", i) }
