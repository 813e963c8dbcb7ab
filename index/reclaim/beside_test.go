package reclaim_test

import (
	"bytes"
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/progress"
	"tresor/index/recipe"
	"tresor/index/reclaim"
)

// TestCheckpointWhileRoomIsGivenBack makes checkpoints and stores blocks while freed blocks are punched: neither waits, no checkpoint knows the
// freed blocks any more, and none of them is given away before its room was given back.
func TestCheckpointWhileRoomIsGivenBack(t *testing.T) {
	r, m := inMemory(t)
	var keep, gone []uint64
	for n := uint64(1); n <= 40; n += 2 {
		keep, gone = append(keep, n), append(gone, n+1)
	}
	var freed []format.Entry
	for i := range keep {
		r.create("keep"+string(rune('A'+i)), keep[i])
		freed = append(freed, r.create("gone"+string(rune('A'+i)), gone[i])...)
		r.remove("gone" + string(rune('A'+i)))
	}
	marks, err := r.vol.StartMarks()
	r.must("start", err)
	for i := range keep {
		e := r.entries("keep" + string(rune('A'+i)))
		_, err := marks.Add(&e[0])
		r.must("add", err)
	}
	pieces, stage := 0, ""
	var out []format.Entry
	punched := make(map[format.Address]bool)
	m.Record()
	res, err := marks.Sweep(index.SweepOptions{
		Progress: func(s progress.Stage) { stage = s.Name },
		Pause: func() error {
			if stage != "give room back" {
				return nil
			}
			pieces++
			r.must("checkpoint", r.vol.Checkpoint())
			snapshot, err := indexfile.LoadSnapshot(m, "/v/"+format.SnapshotName, blockCount)
			r.must("load snapshot", err)
			for _, e := range freed {
				if snapshot.Get(uint64(e.Addr)) && !named(out, e.Addr) {
					t.Errorf("piece %d: a checkpoint knows freed block %d", pieces, e.Addr)
				}
			}
			for _, op := range m.Ops() {
				if op.Kind == disktest.Punch {
					punched[format.Address(op.Off/blockSize)] = true
				}
			}
			if pieces > 10 {
				return nil
			}
			list := r.create("new"+string(rune('A'+pieces)), uint64(100+pieces))
			out = append(out, list...)
			if a := list[0].Addr; a <= freed[len(freed)-1].Addr && !punched[a] {
				t.Errorf("piece %d: block %d was given away before it was punched", pieces, a)
			}
			return nil
		},
	})
	r.must("sweep", err)
	marks.End()
	if res.Freed != 20 || res.GivenBack != 20 || pieces != 20 {
		t.Errorf("have %d blocks freed, %d given back in %d pieces, want 20 each", res.Freed, res.GivenBack, pieces)
	}
	r.assertUsed(uint64(20 + len(out)))
	for i, e := range out {
		r.assertRead([]format.Entry{e}, uint64(101+i))
	}
}

func named(list []format.Entry, a format.Address) bool {
	for _, e := range list {
		if e.Addr == a {
			return true
		}
	}
	return false
}

// entries are those of a stored file.
func (r *rig) entries(name string) []format.Entry {
	r.t.Helper()
	f, err := r.fs.OpenFile(r.path(name), os.O_RDONLY, 0)
	r.must("open", err)
	defer f.Close()
	rec := recipe.New(f, r.vol.Geometry())
	h, err := rec.ReadHeader()
	r.must("read header", err)
	list := make([]format.Entry, h.Entries)
	_, err = rec.ReadEntries(0, list)
	r.must("read entries", err)
	return list
}

// TestInterruptedGivingBack ends the reclaim while room is given back: all is free, only holes are missing.
func TestInterruptedGivingBack(t *testing.T) {
	r, m := inMemory(t)
	for n := uint64(0); n < 20; n++ {
		r.create("keep"+string(rune('A'+n)), 2*n+1)
		r.create("gone"+string(rune('A'+n)), 2*n+2)
		r.remove("gone" + string(rune('A'+n)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m.Record()
	rep, err := reclaim.Run(ctx, r.vol, reclaim.Options{Progress: func(s progress.Stage) {
		if s.Name == "give room back" && s.Done >= 5*blockSize {
			cancel()
		}
	}})
	r.must("reclaim", err)
	if rep.BytesFreed != 20*blockSize || rep.BytesGivenBack != 5*blockSize {
		t.Errorf("have %d bytes freed, %d given back, want 20 and 5 blocks", rep.BytesFreed, rep.BytesGivenBack)
	}
	r.assertUsed(20)
}

// TestDryRun counts what a reclaim would free, to the block, and writes nothing; on a volume opened for reading too.
func TestDryRun(t *testing.T) {
	r, m := inMemory(t)
	r.create("keep", 1, 2, 3)
	r.create("gone", 3, 4, 5)
	r.remove("gone")
	r.must("checkpoint", r.vol.Checkpoint())
	m.Record()
	plan, err := r.run(reclaim.Options{DryRun: true})
	r.must("dry run", err)
	if ops := m.Ops(); len(ops) != 0 {
		t.Errorf("a dry run changed the disk: %v", ops)
	}
	r.assertUsed(5)
	done := *r.mustRun()
	if !plan.DryRun || plan.BytesGivenBack != 0 || plan.BytesFreed != 2*blockSize || plan.EntriesDeleted != 2 {
		t.Errorf("plan: have %+v", *plan)
	}
	plan.DryRun, plan.BytesGivenBack = false, done.BytesGivenBack
	if *plan != done {
		t.Errorf("plan: have %+v, but it came to %+v", *plan, done)
	}
	var text bytes.Buffer
	r.must("print", (&reclaim.Report{DryRun: true, Quarantined: 3}).WriteText(&text))
	if !strings.HasSuffix(text.String(), "files_quarantined                      3\ndry_run                                1\n") {
		t.Errorf("text: have %q", text.String())
	}
	r.end()
	p, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Read)
	r.must("acquire", err)
	v, err := index.Open(p, index.Options{ReadOnly: true, NeedClean: true})
	r.must("open", err)
	defer v.Close()
	if rep, err := reclaim.Run(context.Background(), v, reclaim.Options{DryRun: true}); err != nil || rep.References != 3 {
		t.Errorf("read-only: have %+v, %v", rep, err)
	}
}

// TestQuarantine keeps what the index has for the hashes of a file that a repair has set aside, whatever its addresses say.
func TestQuarantine(t *testing.T) {
	for name, damage := range map[string]func(m *disktest.FS, file string){
		"": func(*disktest.FS, string) {},
		"cannot be opened": func(m *disktest.FS, file string) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Open}, Err: unix.EIO})
		},
		"cannot be listed": func(m *disktest.FS, file string) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.ReadDir}, N: 1, Err: unix.EIO})
		},
		"cannot be read": func(m *disktest.FS, file string) {
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read, Site: "recipe.(*File).readAt"}, Err: unix.EIO})
		},
		"is not a directory": func(m *disktest.FS, file string) {},
	} {
		t.Run(name, func(t *testing.T) {
			r, m := inMemory(t)
			g := r.vol.Geometry()
			list := r.create("damaged", 1, 2, 3)
			list[0].Addr = list[2].Addr   // somebody else's
			list[1].Addr = blockCount + 7 // nobody's
			list[2].Hash[3] ^= 1          // not known: the block at the address is kept
			unknown := format.Entry{Addr: blockCount - 1, Hash: g.Kind.Sum(block(99))}
			r.write("damaged", append(list, unknown))
			r.must("mkdir", m.Mkdir("/v/"+format.QuarantineName, 0o700))
			to := "/v/" + format.QuarantineName + "/damaged"
			r.must("rename", m.Rename(r.path("damaged"), to))
			f, err := m.OpenFile(to, os.O_RDWR, 0)
			r.must("open", err)
			r.must("damage", errors.Join(disk.WriteFull(f, []byte("no header at all"), 0), f.Close()))
			if name == "is not a directory" {
				r.must("remove", errors.Join(m.Remove(to), m.Remove("/v/"+format.QuarantineName)))
				f, err := m.OpenFile("/v/"+format.QuarantineName, os.O_CREATE|os.O_RDWR, 0o600)
				r.must("make", errors.Join(err, f.Close()))
			}
			damage(m, to)
			rep, err := r.run(reclaim.Options{})
			m.Heal()
			if name != "" {
				if err == nil {
					t.Errorf("have success (%+v), want an error", *rep)
				}
				r.assertUsed(3)
				r.must("remove", errors.Join(err2nil(m.Remove(to)), m.Remove("/v/"+format.QuarantineName)))
				r.mustRun()
				return
			}
			r.must("reclaim", err)
			if rep.Quarantined != 1 || rep.InUse != 5 || rep.EntriesDeleted != 0 {
				t.Errorf("have %+v, want 1 file in quarantine that keeps 3 blocks", *rep)
			}
			r.assertUsed(3)
			again := r.create("again", 1, 2)
			if s := r.vol.Stats(); s.Written != 3 {
				t.Errorf("have %d blocks written, want 3: those of the quarantine are gone (%v)", s.Written, again)
			}
			r.must("remove", errors.Join(m.Remove(to), m.Remove("/v/"+format.QuarantineName)))
		})
	}
}

func err2nil(err error) error {
	if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

// hooked calls a function before a file is opened.
type hooked struct {
	disk.FS
	open func(name string)
}

func (h *hooked) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	if h.open != nil {
		h.open(name)
	}
	return h.FS.OpenFile(name, flag, perm)
}

// TestNameGoesWhileOthersStay removes, or replaces, one name of a file with two between being listed and being opened: the other name still
// counts.
func TestNameGoesWhileOthersStay(t *testing.T) {
	for name, change := range map[string]func(r *rig, path string){
		"removed":  func(r *rig, path string) { r.must("remove", r.fs.Remove(path)) },
		"replaced": func(r *rig, path string) { r.must("rename", r.fs.Rename(r.path("c"), path)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := &hooked{FS: disk.OS()}
			r := newRig(t, h, dir)
			list := r.create("a", 1, 2)
			r.create("c", 3)
			r.must("link", os.Link(r.path("a"), filepath.Join(r.path("b"))))
			// Whichever of the two names the walk, which is parallel, comes to first.
			var changed atomic.Bool
			h.open = func(name string) {
				if (name == r.path("a") || name == r.path("b")) && changed.CompareAndSwap(false, true) {
					change(r, name)
				}
			}
			rep := r.mustRun()
			if !changed.Load() {
				t.Fatal("the name was not changed")
			}
			if rep.EntriesDeleted > 1 {
				t.Errorf("have %d entries deleted", rep.EntriesDeleted)
			}
			r.assertRead(list, 1, 2)
			h.open = nil
			rep = r.mustRun()
			want := map[string]uint64{"removed": 2, "replaced": 2}[name]
			if rep.Files != want {
				t.Errorf("have %d files, want %d", rep.Files, want)
			}
			r.assertRead(list, 1, 2)
		})
	}
}

// TestLinksAreSeenOnce counts a file with many names once.
func TestLinksAreSeenOnce(t *testing.T) {
	r := newRig(t, disk.OS(), t.TempDir())
	r.create("a", 1, 2)
	for i := range 50 {
		r.must("link", os.Link(r.path("a"), r.path("b"+string(rune('A'+i)))))
	}
	if rep := r.mustRun(); rep.Files != 1 || rep.References != 2 {
		t.Errorf("have %d files, %d references, want 1 and 2", rep.Files, rep.References)
	}
}

// TestBeside hands files in while the walk is on its way, and an error of that ends the reclaim.
func TestBeside(t *testing.T) {
	r, m := inMemory(t)
	list := r.create("open", 1, 2)
	r.create("keep", 3)
	f, err := m.OpenFile(r.path("open"), os.O_RDWR, 0)
	r.must("open", err)
	defer f.Close()
	r.remove("open")
	_, err = r.run(reclaim.Options{Beside: func(ctx context.Context, see reclaim.See) error {
		<-ctx.Done() // at the end of the walk: what is begun then still counts
		return see("open", f)
	}})
	if err != nil {
		t.Fatalf("reclaim: %v", err)
	}
	r.assertUsed(3)
	r.assertRead(list, 1, 2)
	if _, err := r.run(reclaim.Options{Beside: func(context.Context, reclaim.See) error { return unix.EIO }}); !errors.Is(err, unix.EIO) {
		t.Errorf("beside fails: have %v, want EIO", err)
	}
	r.assertUsed(3)
	r.mustRun()
	r.assertUsed(1)
}

// TestDamagedAddressKeepsItsBlock has entries whose addresses are lost or damaged while their hashes are good: a read finds the block by the hash,
// so it is not freed.
func TestDamagedAddressKeepsItsBlock(t *testing.T) {
	r, _ := inMemory(t)
	list := r.create("f", 1, 2, 3)
	list[0].Addr, list[1].Addr = format.AddressZero, format.AddressLost
	r.write("f", list)
	r.mustRun()
	r.assertUsed(3)
	r.assertRead(list, 1, 2, 3)
	r.remove("f")
	r.mustRun()
	r.assertUsed(0)
}
