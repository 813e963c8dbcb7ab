package reclaim_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/reclaim"
)

// TestFrees removes files: exactly what no other file has is freed, and used again.
func TestFrees(t *testing.T) {
	r, _ := inMemory(t)
	keep := r.create("keep", 1, 2, 3)
	gone := r.create("gone", 3, 4, 5, 6)
	if rep := r.mustRun(); rep.NotInUse != blockCount-8 || rep.EntriesDeleted != 0 || rep.Allocated != 8 {
		t.Errorf("nothing to free: have %+v", *rep)
	}
	r.remove("gone")
	_, err := r.put(7) // stored for nobody
	r.must("put", err)
	rep := r.mustRun()
	have := *rep
	if have.Allocated != 9 || have.NotAllocated != blockCount-9 || have.InUse != 5 || have.NotInUse != blockCount-5 || have.HashNotFound != 0 ||
		have.Files != 1 || have.References != 3 || have.EntriesInIndex != 7 || have.EntriesDeleted != 4 || have.BytesFreed != 4*blockSize {
		t.Errorf("report: have %+v, want 9 blocks allocated, 5 in use, 3 references in 1 file, 7 entries, 4 of them deleted", have)
	}
	r.assertUsed(3)
	again := r.create("again", 4, 20, 21, 22)
	reused := map[format.Address]bool{}
	for _, e := range gone[1:] {
		reused[e.Addr] = true
	}
	for _, e := range again[:3] {
		if !reused[e.Addr] {
			t.Errorf("new block at %d, want one of the freed %v", e.Addr, gone[1:])
		}
	}
	r.assertRead(keep, 1, 2, 3)
	r.assertRead(again, 4, 20, 21, 22)
	if s := r.vol.Stats(); s.Written != 7+4 {
		t.Errorf("have %d blocks written, want 11: a freed block was linked to", s.Written)
	}
}

// TestText holds the form of the report, which scripts read.
func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := (&reclaim.Report{Allocated: 12, Fragmentation: 3.14159, BytesFreed: 1 << 40}).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if lines[0] != "block_allocated                       12" || lines[7] != "fragmentation                       3.1%" || lines[10] != "bytes_freed                    1099511627776" {
		t.Errorf("have %q", lines)
	}
}

// TestSeesNothingFreesNothing has a tree that cannot be seen whole.
func TestSeesNothingFreesNothing(t *testing.T) {
	for name, hide := range map[string]func(r *rig, m *disktest.FS){
		"damaged header": func(r *rig, m *disktest.FS) {
			f, err := m.OpenFile(r.path("d/hidden"), os.O_RDWR, 0)
			r.must("open", err)
			r.must("write", disk.WriteFull(f, []byte("garbage!"), 0))
			r.must("close", f.Close())
		},
		"header of zeros": func(r *rig, m *disktest.FS) {
			f, err := m.OpenFile(r.path("d/hidden"), os.O_RDWR, 0)
			r.must("open", err)
			r.must("write", disk.WriteFull(f, make([]byte, 16), 0))
			r.must("close", f.Close())
		},
		"directory": func(_ *rig, m *disktest.FS) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.ReadDir}, N: 1, Err: unix.EIO})
		},
		"root": func(_ *rig, m *disktest.FS) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.ReadDir}, Err: unix.EIO})
		},
		"name": func(_ *rig, m *disktest.FS) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Lstat, Site: "recipe.(*walk).visit"}, N: 1, Err: unix.EIO})
		},
		"file": func(_ *rig, m *disktest.FS) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Open}, N: 1, Err: unix.EACCES})
		},
		"entries": func(_ *rig, m *disktest.FS) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read}, N: 3, Err: unix.EIO})
		},
		"entries short": func(_ *rig, m *disktest.FS) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "recipe.(*File).readAt"}, N: 1, Partial: 5, Err: unix.EIO})
		},
		"address out of range": func(r *rig, _ *disktest.FS) {
			r.write("z", []format.Entry{{Addr: blockCount, Hash: r.vol.Geometry().Kind.Sum(block(99))}})
		},
		"address not allocated": func(r *rig, _ *disktest.FS) {
			r.write("z", []format.Entry{{Addr: blockCount - 1, Hash: r.vol.Geometry().Kind.Sum(block(99))}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, m := inMemory(t)
			a := r.create("a", 1, 2)
			r.must("mkdir", m.Mkdir(r.path("d"), 0o700))
			b := r.create("d/hidden", 3, 4)
			r.create("gone", 5, 6)
			r.remove("gone")
			hide(r, m)
			fired := m.Fired()
			if rep, err := r.run(reclaim.Options{}); err == nil {
				t.Errorf("have success (%+v), want an error", *rep)
			}
			if strings.HasPrefix(name, "damaged") || strings.HasPrefix(name, "header") || strings.HasPrefix(name, "address") {
				defer r.drop()
			} else if m.Fired() == fired {
				t.Error("the fault did not fire")
			}
			m.Heal()
			r.assertUsed(6)
			if r.vol.Marking() {
				t.Error("the reclaim that failed still marks")
			}
			r.create("new", 7, 8)
			r.assertRead(a, 1, 2)
			r.assertRead(b, 3, 4)
			if name == "directory" {
				r.mustRun()
				r.assertUsed(6) // 5 and 6 are freed now
			}
		})
	}
}

// TestFailedWriteBesideReclaim has a write of blocks fail while a reclaim marks: the addresses that were given back are nobody's, and no reason
// to refuse. A full disk is when a reclaim is needed most.
func TestFailedWriteBesideReclaim(t *testing.T) {
	r, m := inMemory(t)
	keep := r.create("keep", 1)
	r.create("gone", 2)
	r.remove("gone")
	rep, err := r.run(reclaim.Options{Extra: func(func(string, disk.File) error) error {
		m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}, Err: unix.ENOSPC})
		defer m.Heal()
		if _, err := r.put(10, 11, 12); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("put: have %v, want ENOSPC", err)
		}
		return nil
	}})
	if err != nil {
		t.Fatalf("reclaim beside a write that failed: %v", err)
	}
	if rep.InUse != 3 {
		t.Errorf("have %d blocks in use, want 3", rep.InUse)
	}
	r.assertUsed(1)
	r.assertRead(keep, 1)
}

// TestOneAtATime starts a second reclaim while one runs.
func TestOneAtATime(t *testing.T) {
	r, _ := inMemory(t)
	r.create("keep", 1)
	second := func(func(string, disk.File) error) error {
		if _, err := r.run(reclaim.Options{}); !errors.Is(err, index.ErrReclaimRuns) {
			t.Errorf("second reclaim: have %v, want ErrReclaimRuns", err)
		}
		return nil
	}
	if _, err := r.run(reclaim.Options{Extra: second}); err != nil {
		t.Errorf("first reclaim: %v", err)
	}
	r.mustRun()
}

// TestCancel ends a reclaim in the walk, before the sweep and within it.
func TestCancel(t *testing.T) {
	for _, when := range []string{"before", "walk", "extra"} {
		r, _ := inMemory(t)
		r.create("keep", 1, 2)
		r.create("more", 3)
		r.create("gone", 4)
		r.remove("gone")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var o reclaim.Options
		switch when {
		case "before":
			cancel()
		case "walk":
			o.Progress = func(s progress.Stage) {
				if s.Name == "sweep the index" {
					t.Error("the reclaim went on")
				}
				if s.Name == "read files" && s.Done > 0 {
					cancel()
				}
			}
		case "extra":
			o.Extra = func(func(string, disk.File) error) error { cancel(); return nil }
		}
		if _, err := reclaim.Run(ctx, r.vol, o); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled %s: have %v, want context.Canceled", when, err)
		}
		r.assertUsed(4)
		r.mustRun()
		r.assertUsed(3)
	}
}

// TestCancelSweep ends the sweep after some of its steps: entries may be gone, but no block is free to be used again, and no stored
// block is lost.
func TestCancelSweep(t *testing.T) {
	r, _ := inMemory(t)
	keep := r.create("keep", 1, 2)
	r.create("gone", 4)
	r.remove("gone")
	marks, err := r.vol.StartMarks()
	r.must("start", err)
	for i := range keep {
		_, err := marks.Add(&keep[i])
		r.must("add", err)
	}
	stop := errors.New("stop")
	if _, err := marks.Sweep(index.SweepOptions{Pause: func() error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("sweep: have %v, want %v", err, stop)
	}
	marks.End()
	r.assertUsed(3)
	r.assertRead(keep, 1, 2)
	r.mustRun()
	r.assertUsed(2)
}

// TestNewBlocksBesideReclaim stores and links blocks at every stage of a reclaim: all of them stay.
func TestNewBlocksBesideReclaim(t *testing.T) {
	r, _ := inMemory(t)
	r.create("a", 1, 2)
	r.create("gone", 3, 4)
	r.remove("gone")
	stage := uint64(0)
	var list [][]format.Entry
	write := func() {
		stage++
		// New blocks, one linked from a file that is gone, and one of a file that goes now.
		name := string('m' + rune(stage))
		list = append(list, r.create(name, 100+stage, 3))
	}
	rep, err := r.run(reclaim.Options{Progress: func(progress.Stage) { write() }, Extra: func(func(string, disk.File) error) error { write(); return nil }})
	r.must("reclaim", err)
	if stage < 2 {
		t.Fatalf("wrote at %d stages, want several", stage)
	}
	for i, e := range list {
		r.assertRead(e, 101+uint64(i), 3)
	}
	r.assertUsed(2 + 1 + stage)
	if rep.EntriesDeleted != 1 {
		t.Errorf("have %d entries deleted, want that of block 4", rep.EntriesDeleted)
	}
	for i := range uint64(60) { // over everything that is free
		r.create("fill"+string(rune('0'+i)), 1000+i)
	}
	for i, e := range list {
		r.assertRead(e, 101+uint64(i), 3)
	}
}

// TestExtraFiles are seen like those of the tree.
func TestExtraFiles(t *testing.T) {
	r, m := inMemory(t)
	list := r.create("open", 1, 2)
	f, err := m.OpenFile(r.path("open"), os.O_RDWR, 0)
	r.must("open", err)
	r.remove("open")
	_, err = r.run(reclaim.Options{Extra: func(see func(string, disk.File) error) error { return see("open", f) }})
	r.must("reclaim", err)
	r.assertUsed(2)
	r.assertRead(list, 1, 2)
	if _, err := r.run(reclaim.Options{Extra: func(func(string, disk.File) error) error { return unix.EIO }}); !errors.Is(err, unix.EIO) {
		t.Errorf("extra files that cannot be seen: have %v, want EIO", err)
	}
	r.assertUsed(2)
	r.must("close", f.Close())
	r.mustRun()
	r.assertUsed(0)
}

// TestPunches gives the room of freed blocks back to the disk below.
func TestPunches(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, disk.OS(), dir)
	var ns []uint64
	for n := range uint64(60) {
		ns = append(ns, n+1)
	}
	r.create("keep", 1, 30, 60)
	r.create("gone", ns...)
	r.must("sync", r.vol.Sync())
	before := room(t, dir)
	r.remove("gone")
	rep := r.mustRun()
	after := room(t, dir)
	if rep.BytesFreed != 57*blockSize || before-after < 50*blockSize {
		t.Errorf("block file: had %d bytes on the disk, has %d, want %d fewer", before, after, rep.BytesFreed)
	}
	r.assertUsed(3)
}

func room(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, format.DefaultBlocksName))
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// TestNoPunch is a disk that cannot punch holes: the reclaim succeeds without.
func TestNoPunch(t *testing.T) {
	for _, cause := range []error{unix.EOPNOTSUPP, unix.EIO} {
		r, m := inMemory(t)
		r.create("gone", 1, 2)
		r.remove("gone")
		m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Punch}, Err: cause, Repeat: true})
		r.mustRun()
		r.assertUsed(0)
		r.assertRead(r.create("new", 1, 9), 1, 9)
	}
}

// TestSweepFails fails what a sweep needs of the disk: nothing is freed, and a later one frees.
func TestSweepFails(t *testing.T) {
	for _, fault := range []disktest.Call{
		{Kind: disktest.Write, Site: "indexfile.(*File).flushRun"}, {Kind: disktest.Write, Site: "indexfile.(*File).FlushBitmap"},
		{Kind: disktest.Rename}, {Kind: disktest.Write, Site: "indexfile.writeTemp"},
	} {
		r, m := inMemory(t)
		keep := r.create("keep", 1)
		r.create("gone", 2, 3)
		r.must("checkpoint", r.vol.Checkpoint())
		r.remove("gone")
		m.Inject(disktest.Fault{Call: fault, Err: unix.EIO})
		if _, err := r.run(reclaim.Options{}); !errors.Is(err, unix.EIO) {
			t.Errorf("%v: have %v, want EIO", fault, err)
		}
		m.Heal()
		r.assertUsed(3)
		r.assertRead(keep, 1)
		// What the table has lost by then must not be linked to, and what it has must be there.
		r.assertRead(r.create("again", 2, 3, 1), 2, 3, 1)
		r.mustRun()
		r.assertRead(r.create("more", 2, 3, 1), 2, 3, 1)
		r.assertUsed(3)
	}
}

// TestReadOnly refuses.
func TestReadOnly(t *testing.T) {
	r, m := inMemory(t)
	r.end()
	p, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Read)
	r.must("acquire", err)
	v, err := index.Open(p, index.Options{ReadOnly: true})
	r.must("open", err)
	defer v.Close()
	if _, err := reclaim.Run(context.Background(), v, reclaim.Options{}); !errors.Is(err, format.ErrReadOnly) {
		t.Errorf("have %v, want ErrReadOnly", err)
	}
}
