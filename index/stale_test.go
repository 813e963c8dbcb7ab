package index_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/index/reclaim"
	"tresor/index/table"
)

const (
	indexName  = volumeDir + "/" + format.DefaultIndexName
	recordName = volumeDir + "/" + indexfile.ProofName
)

// content reads a file of the volume.
func (r *rig) content(name string) []byte {
	r.t.Helper()
	f, err := r.m.OpenFile(name, os.O_RDONLY, 0)
	r.must(err)
	defer f.Close()
	size, err := f.Size()
	r.must(err)
	p := make([]byte, size)
	r.must(disk.ReadFull(f, p, 0))
	return p
}

// replace gives a file of the volume another content.
func (r *rig) replace(name string, p []byte) {
	r.t.Helper()
	r.must(disk.WriteFileAtomic(r.m, name, p, 0o600))
}

// unrecorded makes the closed volume one that does not know which index it was closed with, as after a session of the original.
func (r *rig) unrecorded() {
	r.t.Helper()
	r.must(r.m.Remove(recordName))
}

func (r *rig) mustReclaim() {
	r.t.Helper()
	_, err := reclaim.Run(context.Background(), r.vol, reclaim.Options{})
	r.must(err)
}

// assertStale fails the test unless the volume is refused because of its index, by the engine, and a check says so too.
func (r *rig) assertStale(when string) {
	r.t.Helper()
	dirty, _ := r.flags()
	v, err := index.Open(r.acquire(), r.opts)
	var stale *indexfile.StaleIndexError
	if !errors.Is(err, index.ErrUnclean) || !errors.As(err, &stale) && !dirty {
		if err == nil {
			r.must(v.Abandon())
		}
		r.t.Fatalf("%s: open: have %v, want ErrUnclean and a StaleIndexError", when, err)
	}
	p, err := index.Acquire(index.Location{FS: r.m, Parent: volumeDir}, index.Read)
	r.must(err)
	defer p.Close()
	var log strings.Builder
	fv := fsck.Of(p)
	fv.Log = func(line string) { log.WriteString(line) }
	r.must(fv.LoadState())
	if !fv.Unclean || !fv.Stale || !fv.Trusted {
		r.t.Errorf("%s: have unclean %v, stale %v, trusted %v, want true", when, fv.Unclean, fv.Stale, fv.Trusted)
	}
	_, err = fsck.Check(context.Background(), fv, fsck.CheckOptions{})
	r.must(err)
	if !strings.Contains(log.String(), "not the one this volume was closed with") {
		r.t.Errorf("%s: the check does not say that the index is another one: %s", when, log.String())
	}
}

// TestStaleIndex has an older copy of the index take the place of the index of a volume that was closed cleanly, as when it lies on a disk that
// was away: the volume is repaired before anything is stored, and no block is given away twice.
func TestStaleIndex(t *testing.T) {
	for name, session := range map[string]func(r *rig){
		"more blocks":     func(r *rig) { r.mustPut("g", 3, 4, 5) },
		"one block":       func(r *rig) { r.mustPut("g", 3) },
		"at rest, killed": func(r *rig) { r.mustPut("g", 3, 4) },
		"after a repair":  func(r *rig) { r.mustPut("g", 3, 4) },
		"same bitmap, other entries": func(r *rig) {
			r.must(r.m.Remove(r.root("f")))
			r.mustReclaim()
			r.mustPut("g", 3, 4)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := smallVolume()
			o.ReuseASAP = true
			r := newRig(t, o, index.Options{})
			r.mustPut("f", 1, 2)
			r.close()
			old := r.content(indexName)
			r.open()
			session(r)
			switch name {
			case "at rest, killed":
				if done, err := r.vol.Quiesce(0, nothing); !done || err != nil {
					t.Fatalf("quiesce: have %v, %v", done, err)
				}
				r.kill()
			case "after a repair":
				r.kill()
				p := r.acquire()
				v := fsck.Of(p)
				r.must(v.LoadState())
				_, err := fsck.Repair(context.Background(), v, fsck.RepairOptions{})
				r.must(errors.Join(err, p.Close()))
			default:
				r.close()
			}
			r.open() // with the right index it needs no repair
			g := r.entries("g")
			r.close()
			if name == "same bitmap, other entries" {
				bits := func(p []byte) []byte { return p[64<<10:][:8] }
				if !bytes.Equal(bits(old), bits(r.content(indexName))) {
					t.Fatal("the bitmaps differ: this is another case")
				}
			}
			r.replace(indexName, old)
			r.assertStale("old index")
			res := r.repair()
			if res.Damaged() != 0 {
				t.Errorf("repair: %v", res.Reports)
			}
			fresh := r.mustPut("h", 10, 11, 12, 13)
			for _, e := range fresh {
				for _, used := range g {
					if e.Addr == used.Addr {
						t.Errorf("block %d was given away twice", e.Addr)
					}
				}
			}
			want := map[int][]uint64{1: {3}, 2: {3, 4}, 3: {3, 4, 5}}
			r.assertRead(r.entries("g"), want[len(g)]...)
			again := r.mustPut("again", want[len(g)]...)
			r.assertRead(again, want[len(g)]...)
			r.close()
			r.assertClean()
			r.open()
		})
	}
}

// TestIndexHashedWhereRecorded holds that the index is hashed by an open that has something to compare it with, and by no other.
func TestIndexHashedWhereRecorded(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.mustPut("f", 1, 2)
	r.close()
	for _, tt := range []struct {
		recorded bool
		opts     index.Options
		want     bool
	}{
		{true, index.Options{ReadOnly: true, NeedClean: true}, true},
		{true, index.Options{ReadOnly: true}, false},
		{true, index.Options{}, true},
		{false, index.Options{ReadOnly: true, NeedClean: true}, false},
		{false, index.Options{}, false},
	} {
		if !tt.recorded {
			_ = r.m.Remove(recordName)
		}
		v, err := index.Open(r.acquire(), tt.opts)
		r.must(err)
		if have := v.IndexKnown(); have != tt.want {
			t.Errorf("recorded %v, %+v: index hashed %v, want %v", tt.recorded, tt.opts, have, tt.want)
		}
		r.must(v.Close())
	}
	r.open()
}

// TestStaleIndexAndUnreadFile has a file that the repair cannot read: the blocks that only it refers to, and that the older index does not
// know, stay allocated. The repair is interrupted once on the way.
func TestStaleIndexAndUnreadFile(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.mustPut("f", 1, 2)
	r.close()
	old := r.content(indexName)
	r.open()
	hidden := r.mustPut("hidden", 3, 4, 5)
	r.close()
	header := r.content(r.root("hidden"))[:format.FileHeaderSize]
	r.patch(r.root("hidden"), make([]byte, format.FileHeaderSize))
	r.replace(indexName, old)
	r.assertStale("before the repair")
	// What a repair that is interrupted before its first change of the index leaves.
	r.must(indexfile.WriteMark(r.m, volumeDir, indexfile.MarkRepair))
	r.assertStale("interrupted repair")
	r.repair()
	for _, e := range r.mustPut("new", 10, 11, 12, 13, 14, 15) {
		for _, h := range hidden {
			if e.Addr == h.Addr {
				t.Errorf("block %d of the file that could not be read was given away", e.Addr)
			}
		}
	}
	r.kill()
	if _, err := r.m.Lstat(r.root("hidden")); err == nil {
		r.patch(r.root("hidden"), header)
		r.repair()
		r.assertRead(r.entries("hidden"), 3, 4, 5)
	} else {
		r.t.Cleanup(r.kill) // it is in the quarantine
	}
}

// patch overwrites the beginning of a file.
func (r *rig) patch(name string, p []byte) {
	r.t.Helper()
	f, err := r.m.OpenFile(name, os.O_RDWR, 0)
	r.must(err)
	r.must(errors.Join(disk.WriteFull(f, p, 0), f.Close()))
}

// TestRecordTorn cuts and damages the record of the index: the volume is opened, or repaired first, and never gets stuck.
func TestRecordTorn(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	f := r.mustPut("f", 1, 2)
	r.close()
	whole := r.content(recordName)
	if !bytes.Contains(whole, []byte("\nindex ")) {
		t.Fatalf("record: have %q, want a line about the index", whole)
	}
	try := func(p []byte) {
		t.Helper()
		r.replace(recordName, p)
		v, err := index.Open(r.acquire(), r.opts)
		if errors.Is(err, index.ErrUnclean) {
			r.repair()
		} else if r.vol = v; err != nil {
			t.Fatalf("record %q: open: %v", p, err)
		}
		r.assertRead(f, 1, 2)
		r.close()
		r.open()
		r.close()
	}
	step := 7
	if long() {
		step = 1
	}
	for n := 0; n < len(whole); n += step {
		try(whole[:n])
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1
		try(flipped)
	}
	try([]byte("index \n"))
	try(bytes.Repeat([]byte("index x y\n"), 100))
	r.open()
}

// TestRecordAndOriginal has the original use the volume in between: its sessions renew the snapshot, or leave a mark of their own, and what it
// made of the index counts as it did before there was a record.
func TestRecordAndOriginal(t *testing.T) {
	for name, leave := range map[string]func(r *rig){
		"closed": func(r *rig) {
			// On this disk files have no times: another content stands for another time.
			r.replace(volumeDir+"/"+format.SnapshotName, append(r.content(volumeDir+"/"+format.SnapshotName), 0, 0, 0, 0))
		},
		"killed at rest": func(r *rig) {
			r.replace(volumeDir+"/"+format.DirtyName, nil)
			r.replace(volumeDir+"/"+format.CleanName, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smallVolume(), index.Options{})
			f := r.mustPut("f", 1, 2)
			r.close()
			indextest.Describe(t, r.m, volumeDir).WithIndex(func(tab *table.Table, _ *bitmap.Bitmap) {
				if _, _, ok := tab.Delete(&f[0].Hash); !ok {
					t.Fatal("the block is not in the index")
				}
			})
			r.assertStale("changed without a trace")
			leave(r)
			r.open()
			r.assertRead(f, 1, 2) // adopts the block
		})
	}
}

// TestForeignIndex uses another index than the configured one: the very one that the volume was closed with is as good wherever it lies, an older
// one counts as unclean. Afterwards the configured one is stale.
func TestForeignIndex(t *testing.T) {
	r := newRig(t, smallVolume(), index.Options{})
	r.mustPut("f", 1, 2)
	r.close()
	r.replace(volumeDir+"/copy.idx", r.content(indexName))
	copied := index.Location{FS: r.m, Parent: volumeDir, Index: volumeDir + "/copy.idx"}
	p, err := index.Acquire(copied, index.Write)
	r.must(err)
	v1, err := index.Open(p, r.opts)
	if err != nil {
		t.Fatalf("open with a copy of the last index: %v", err)
	}
	r.must(v1.Close())
	r.open()
	r.mustPut("e", 9)
	r.close()
	p, err = index.Acquire(copied, index.Write)
	r.must(err)
	if _, err := index.Open(p, r.opts); !errors.Is(err, index.ErrUnclean) {
		t.Fatalf("open with a copy of an older index: have %v, want ErrUnclean", err)
	}
	p, err = index.Acquire(copied, index.Write)
	r.must(err)
	v := fsck.Of(p)
	v.Unclean = true
	r.must(v.LoadState())
	_, err = fsck.Repair(context.Background(), v, fsck.RepairOptions{KeepDirty: true})
	r.must(err)
	r.vol, err = index.OpenRepaired(p, r.opts)
	r.must(err)
	r.mustPut("g", 3, 4)
	r.close()
	r.assertStale("session with a copy")
	r.repair()
	r.assertRead(r.entries("g"), 3, 4)
}
