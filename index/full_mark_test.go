package index_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// fill leaves room for what is in place already, the index above all, and for no new file with content.
func (r *rig) fill() {
	for _, site := range []string{"indexfile.WriteMark", "indexfile.writeTemp", "indexfile.recordProof", "indexfile.(*File).Record", "fsck.(*reportList).replace"} {
		r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: site}, Repeat: true, Err: unix.ENOSPC})
	}
}

// TestRepairFullDisk: a volume that was killed is repaired and mounted on a disk without a byte left, and the crash after that is none the worse for it.
func TestRepairFullDisk(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	a := r.mustPut("a", 1, 2)
	r.must(r.vol.Checkpoint())
	b := r.mustPut("b", 3, 4)
	r.must(r.syncFile("b"))
	r.writeFile("torn", uint64(5*r.blockSize()), b) // something to report
	r.kill()
	r.fill()
	if res := r.repair(); len(res.Reports) != 1 {
		t.Errorf("have %v, want one report", res.Reports)
	}
	r.assertRead(a, 1, 2)
	r.m.Heal()
	c := r.mustPut("c", 5, 6, 7)
	r.must(r.syncFile("c"))
	r.kill()
	r.repair()
	r.assertRead(b, 3, 4)
	r.assertRead(c, 5, 6, 7)
}

// TestFullDiskHidesNoSession: where there is no room to say whose session it is, nobody is named, least of all the repair that was interrupted
// before: it would vouch for all blocks.
func TestFullDiskHidesNoSession(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.mustPut("a", 1, 2)
	r.close()
	r.must(indexfile.WriteMark(r.m, volumeDir, indexfile.MarkRepair))
	f, err := r.m.OpenFile(volumeDir+"/"+format.CleanName, os.O_CREATE|os.O_WRONLY, 0o600)
	r.must(err)
	r.must(f.Close())
	r.fill()
	r.open()
	if mark, err := indexfile.ReadMark(r.m, volumeDir); mark == indexfile.MarkRepair || err != nil {
		t.Errorf("mark of a session on a full disk: have %q (%v)", mark, err)
	}
	r.m.Heal()
	// What is written now and lost by a power cut must be hashed.
	r.mustPut("b", 3, 4)
	r.must(r.vol.Checkpoint())
	r.kill()
	p := r.acquire()
	dirty, err := p.Dirty()
	r.must(err)
	r.must(p.Close())
	if !dirty {
		t.Error("the volume counts as clean")
	}
	r.repair()
}

// TestFullDiskAtFirstSync: blocks that cannot be stored are no matter of room for a snapshot: the volume is not opened over them.
func TestFullDiskAtFirstSync(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.mustPut("a", 1, 2)
	r.close()
	r.must(r.m.Remove(volumeDir + "/" + indexfile.ProofName)) // as the original leaves it
	r.m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Sync, Site: "blockfile.(*File).Sync"}, Err: unix.ENOSPC})
	v, err := index.Open(r.acquire(), r.opts)
	if r.m.Heal(); !errors.Is(err, unix.ENOSPC) || r.m.Fired() != 1 {
		t.Errorf("have %v after %d faults, want %v", err, r.m.Fired(), unix.ENOSPC)
	}
	if v != nil {
		r.must(v.Abandon())
	}
}
