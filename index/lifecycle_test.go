package index_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

func (r *rig) flags() (mounted, quiet bool) {
	r.t.Helper()
	for name, have := range map[string]*bool{format.DirtyName: &mounted, format.CleanName: &quiet} {
		_, err := r.m.Lstat(volumeDir + "/" + name)
		*have = err == nil
	}
	return mounted, quiet
}

func (r *rig) assertFlags(when string, mounted, quiet bool) {
	r.t.Helper()
	if m, q := r.flags(); m != mounted || q != quiet {
		r.t.Errorf("%s: have %s %v and %s %v, want %v and %v", when, format.DirtyName, m, format.CleanName, q, mounted, quiet)
	}
}

func nothing() error { return nil }

// TestFlags follows the marks of the volume through its life.
func TestFlags(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.assertFlags("opened", true, true)
	known := r.mustPut("f", 1)
	r.assertFlags("after a block", true, false)
	if done, err := r.vol.Quiesce(0, nothing); !done || err != nil {
		t.Errorf("quiesce: have %v, %v", done, err)
	}
	r.assertFlags("at rest", true, true)
	if done, err := r.vol.Quiesce(0, nothing); done || err != nil {
		t.Errorf("quiesce at rest: have %v, %v, want nothing done", done, err)
	}
	r.assertRead(known, 1)
	if _, err := r.put(1); err != nil {
		t.Error(err)
	}
	r.assertFlags("after reading and a known block", true, true)
	if err := r.vol.Touch(); err != nil {
		t.Error(err)
	}
	r.assertFlags("before a change of a stored file", true, false)
	if done, err := r.vol.Quiesce(1e15, nothing); done || err != nil {
		t.Errorf("quiesce before its time: have %v, %v, want nothing done", done, err)
	}
	// A change beside the quiesce: no rest.
	if done, err := r.vol.Quiesce(0, func() error { return r.vol.Touch() }); done || err != nil {
		t.Errorf("quiesce beside a change: have %v, %v, want no rest", done, err)
	}
	r.assertFlags("after a quiesce beside a change", true, false)
	if done, err := r.vol.Quiesce(0, func() error { return unix.EIO }); done || !errors.Is(err, unix.EIO) {
		t.Errorf("quiesce whose flush fails: have %v, %v, want EIO", done, err)
	}
	r.kill()
	r.assertFlags("killed", true, false)
	if _, err := index.Open(r.acquire(), index.Options{}); !errors.Is(err, index.ErrUnclean) {
		t.Errorf("open of a killed volume: have %v, want ErrUnclean", err)
	}
	r.repair()
	r.assertFlags("repaired at mount", true, false)
	r.close()
	if mounted, _ := r.flags(); mounted {
		t.Errorf("closed: %s is there", format.DirtyName)
	}
	r.open()
	r.assertFlags("opened again", true, true)
	r.kill()
	r.open() // at rest when killed: nothing to repair
	r.assertRead(known, 1)
}

// TestCleanMarkLeavesFirst cuts the power at every change of the disk while a volume at rest gets its first new block, is read where it is
// damaged, or reclaims: no image in which anything else has changed is marked clean. The same for one that is opened by who changes it at once, when the last session has left
// the mark.
func TestCleanMarkLeavesFirst(t *testing.T) {
	for name, change := range map[string]func(r *rig, known []format.Entry){
		"new block":  func(r *rig, _ []format.Entry) { r.mustPut("", 9) },
		"bad block":  func(r *rig, known []format.Entry) { _, _ = r.read(known) },
		"checkpoint": func(r *rig, _ []format.Entry) { r.mustPut("", 9); r.must(r.vol.Checkpoint()) },
		"rest again": func(r *rig, _ []format.Entry) {
			r.mustPut("", 9)
			_, err := r.vol.Quiesce(0, nothing)
			r.must(err)
		},
		"reclaim": func(r *rig, _ []format.Entry) {
			marks, err := r.vol.StartMarks()
			r.must(err)
			_, err = marks.Sweep(index.SweepOptions{})
			r.must(err)
			marks.End()
		},
		"new block, changing": func(r *rig, _ []format.Entry) { r.mustPut("", 9) },
		"bad block, changing": func(r *rig, known []format.Entry) { _, _ = r.read(known) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smallVolume(), index.Options{})
			known := r.mustPut("f", 1)
			if name, r.opts.Changing = strings.CutSuffix(name, ", changing"); r.opts.Changing {
				_, err := r.vol.Quiesce(0, nothing)
				r.must(err)
			}
			r.close()
			if name == "bad block" {
				r.damage(known[0].Addr)
			}
			r.open()
			if err := r.m.SyncFS(volumeDir); err != nil {
				t.Fatal(err)
			}
			r.m.Record()
			change(r, known)
			ops := r.m.Ops()
			seen := 0
			for k := range len(ops) + 1 {
				for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
					img := r.over(r.m.Crash(k, how, uint64(k)))
					p := img.acquire()
					dirty, err := p.Dirty()
					r.must(err)
					r.must(p.Close())
					before := firstChange(ops[:k])
					if !dirty && before >= 0 && !rested(ops[:k]) {
						t.Errorf("crash after change %d, %v: marked clean, but %v was made before", k, how, ops[before])
					}
					if dirty {
						seen++
					}
				}
			}
			if seen == 0 {
				t.Error("no image was marked unclean: nothing was tested")
			}
			r.kill()
		})
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// firstChange is the first change of index, block file or snapshot, -1 if there is none.
func firstChange(ops []disktest.Op) int {
	for i, op := range ops {
		for _, name := range []string{format.DefaultIndexName, format.DefaultBlocksName, format.SnapshotName} {
			if strings.HasSuffix(op.Name, "/"+name) && (op.Kind == disktest.Write || op.Kind == disktest.Rename || op.Kind == disktest.Punch) {
				return i
			}
		}
	}
	return -1
}

// rested tells whether the volume came to rest again within the changes.
func rested(ops []disktest.Op) bool {
	for _, op := range ops {
		if op.Kind == "create" && strings.HasSuffix(op.Name, "/"+format.CleanName) {
			return true
		}
	}
	return false
}

// TestChanging opens a volume for somebody who changes it at once.
func TestChanging(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.close()
	r.must(r.m.Remove(volumeDir + "/" + format.CleanName))
	r.opts.Changing = true
	r.open()
	r.assertFlags("opened", true, false)
	if done, err := r.vol.Quiesce(0, nothing); !done || err != nil {
		t.Errorf("quiesce: have %v, %v", done, err)
	}
	r.assertFlags("at rest", true, true)
	r.close()
	r.open()
	r.assertFlags("opened with the mark of the last session", true, true)
	r.mustPut("f", 1)
	r.assertFlags("after a block", true, false)
	r.kill()
	if _, err := index.Open(r.acquire(), index.Options{}); !errors.Is(err, index.ErrUnclean) {
		t.Errorf("open of a killed volume: have %v, want ErrUnclean", err)
	}
	r.repair()
}

// TestNothingNew has a session that stores known blocks only: it writes neither index nor snapshot, and the volume is as clean as before.
func TestNothingNew(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.mustPut("f", 1, 2)
	r.close()
	r.m.Record()
	r.open()
	r.must(r.vol.Touch())
	known := r.mustPut("g", 2, 1)
	r.close()
	for _, op := range r.m.Ops() {
		for _, name := range []string{format.DefaultIndexName, format.DefaultBlocksName, format.SnapshotName} {
			if op.Kind != disktest.Sync && strings.HasPrefix(op.Name, volumeDir+"/"+name) {
				t.Errorf("nothing was new, and still: %v", op)
			}
		}
	}
	r.assertClean()
	r.open()
	r.assertRead(known, 2, 1)
}

// TestCheckpointAfterFailed: a reclaim fails when the new snapshot has its name and the directory cannot be synced. The next one, which finds nothing else to write, gives it its name once more before it
// lets go of blocks: the name may not have reached the disk.
func TestCheckpointAfterFailed(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.mustPut("", 1, 2)
	r.must(r.vol.Checkpoint())
	sweep := func() error {
		marks, err := r.vol.StartMarks() // nobody marks a block, so all are freed
		r.must(err)
		defer marks.End()
		_, err = marks.Sweep(index.SweepOptions{})
		return err
	}
	r.must(r.vol.Touch()) // else the first directory that is synced is that of the clean flag
	r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.SyncDir, Site: "indexfile.replaceSnapshot"}, Err: unix.EIO})
	if err := sweep(); !errors.Is(err, unix.EIO) || r.m.Fired() != 1 {
		t.Fatalf("have %v, want EIO once, not %d times", err, r.m.Fired())
	}
	r.m.Heal()
	r.m.Record()
	r.must(sweep())
	named := 0
	for _, op := range r.m.Ops() {
		if op.Kind == disktest.Rename && strings.HasSuffix(op.Name, "/"+format.SnapshotName) {
			named++
		}
		if op.Kind == disktest.Punch && named == 0 {
			t.Fatalf("%v before the snapshot without these blocks was put in place", op)
		}
	}
	if named == 0 {
		t.Error("no snapshot was put in place")
	}
}

// TestOneOwner opens a volume twice.
func TestOneOwner(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	if p, err := index.Acquire(index.Location{FS: r.m, Parent: volumeDir}, index.Write); !errors.Is(err, format.ErrBusy) {
		t.Errorf("second owner: have %v, %v, want ErrBusy", p, err)
	}
	p, err := index.Acquire(index.Location{FS: r.m, Parent: volumeDir + "/" + format.RootName}, index.Read)
	if err != nil || p.Dir != volumeDir {
		t.Errorf("reader of a path inside: have %v, %v", p, err)
	}
	r.must(p.Close())
}

// TestCheckpointDue holds that the bytes between two checkpoints are bounded by what the options say, and so what a repair hashes.
func TestCheckpointDue(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{Checkpoint: 8 * 4096})
	for i := range uint64(7) {
		r.mustPut(fmt.Sprintf("f%d", i), i+1)
	}
	select {
	case <-r.vol.CheckpointDue():
		t.Error("a checkpoint is due after 7 of 8 blocks")
	default:
	}
	r.mustPut("f7", 8)
	select {
	case <-r.vol.CheckpointDue():
	default:
		t.Error("no checkpoint is due after 8 blocks")
	}
	r.must(r.vol.Checkpoint())
	if s := r.vol.Stats(); s.Fresh != 0 {
		t.Errorf("have %d fresh blocks after a checkpoint, want 0", s.Fresh)
	}
	r.mustPut("f8", 9, 10, 11)
	r.kill()
	if res := r.repair(); res.Suspects != 3 {
		t.Errorf("repair: have %d blocks hashed, want the 3 since the checkpoint", res.Suspects)
	}
}
