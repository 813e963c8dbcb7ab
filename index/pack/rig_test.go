package pack_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/pack"
	"tresor/index/recipe"
)

// blockSize of the volumes here: small, so that there are many blocks.
const blockSize = 512

// rig is a volume on a disk in memory with used and free blocks in turn, and what its files hold.
type rig struct {
	t     testing.TB
	m     *disktest.FS
	v     *indextest.Volume
	files map[string][]byte
	// aside are entries of a file without a header, by number, that name known blocks.
	aside []format.Entry
}

const asidePath = "/v/" + format.QuarantineName + "/dir/odd"

// newRig stores files between which others lay that are gone, and lets a repair free what was theirs.
// What is stored is of a size for a volume of content blocks.
func newRig(t testing.TB, blocks, content, seed uint64) *rig {
	t.Helper()
	m := disktest.New()
	r := &rig{t: t, m: m, files: map[string][]byte{}}
	r.v = indextest.New(t, indextest.Options{FS: m, Dir: "/v", BlockSize: blockSize, Blocks: blocks})
	rng := rand.New(rand.NewPCG(seed, 1))
	gone := 0
	for i := range 8 {
		name := fmt.Sprintf("dir%d/kept%d", i%3, i)
		r.files[name] = randomBytes(rng, int(content)/40*blockSize+i*37)
		r.v.Store(map[string][]byte{name: r.files[name]})
		for range 3 + i%2 {
			r.v.Store(map[string][]byte{fmt.Sprintf("gone%d", gone): randomBytes(rng, (int(content)/60+i)*blockSize)})
			gone++
		}
	}
	repeats := 15
	if blocks >= wideBlocks {
		repeats = 60 // some of its addresses lie across the end of a sector
	}
	r.files["holes"] = append(append(make([]byte, 5*blockSize), r.files["dir1/kept7"][:7*blockSize]...), make([]byte, 3*blockSize)...)
	r.files["repeated"] = bytes.Repeat(r.files["dir0/kept6"][:9*blockSize], repeats)
	r.files["small"] = []byte("some bytes")
	r.files["empty"] = nil
	r.v.Store(map[string][]byte{"holes": r.files["holes"], "repeated": r.files["repeated"], "small": r.files["small"], "empty": nil})
	for i := range gone {
		r.must(m.Remove(fmt.Sprintf("/v/ddfsroot/gone%d", i)))
	}
	r.must(m.Link("/v/ddfsroot/small", "/v/ddfsroot/dir0/link"))
	r.setAside()
	r.v.Sync()
	r.v = r.v.Reload()
	r.v.Repair(fsck.RepairOptions{})
	r.v.Sync()
	return r
}

// setAside makes a file in the quarantine: a header of garbage, known entries, one unknown, one with a wrong address.
func (r *rig) setAside() {
	_, r.aside = r.v.Recipe("dir1/kept7")
	r.aside[1].Addr += 3
	r.aside[2].Hash[5] ^= 1
	r.m.MkdirAll("/v/" + format.QuarantineName + "/dir")
	f, err := r.m.OpenFile(asidePath, os.O_RDWR|os.O_CREATE, 0o600)
	r.must(err)
	r.must(disk.WriteFull(f, []byte("not a header at "), 0))
	r.must(recipe.New(f, r.v.Geometry).WriteEntries(0, r.aside))
	r.must(f.Close())
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// acquire opens the volume in /v of a disk.
func acquire(t testing.TB, m disk.FS, dir string) *index.Parent {
	t.Helper()
	p, err := index.Acquire(index.Location{FS: m, Parent: dir}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// run packs as the program does: what is unfinished first, then a repair, then a pack.
func run(t testing.TB, m disk.FS, dir string, o pack.Options) (*pack.Result, error) {
	t.Helper()
	p := acquire(t, m, dir)
	defer p.Close()
	ctx := context.Background()
	first, err := pack.Resume(ctx, p, o)
	if err != nil {
		return nil, err
	}
	v := fsck.Of(p)
	if err := v.LoadState(); err != nil {
		return nil, err
	}
	if _, err := fsck.Repair(ctx, v, fsck.RepairOptions{}); err != nil {
		return nil, err
	}
	res, err := pack.Run(ctx, p, o)
	if err == nil && first != nil {
		res.Moved += first.Moved
		res.Resumed = true
	}
	return res, err
}

// runOnly packs without anything before.
func runOnly(t testing.TB, m disk.FS, o pack.Options) (*pack.Result, error) {
	t.Helper()
	p := acquire(t, m, "/v")
	defer p.Close()
	return pack.Run(context.Background(), p, o)
}

// state is all of a volume, without reports. On a disk in memory there are no times to differ in.
func state(t testing.TB, m disk.FS) map[string]string {
	t.Helper()
	return indextest.Describe(t, m, "/v").Image()
}

func assertSame(t testing.TB, what string, have, want map[string]string) {
	t.Helper()
	for name := range want {
		if h, ok := have[name]; !ok || h != want[name] {
			t.Errorf("%s: %s: have %d bytes (there: %v), want %d others", what, name, len(h), ok, len(want[name]))
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is there, want it not to be", what, name)
		}
	}
}

// assertFiles proves every file, block by block.
func (r *rig) assertFiles(what string, m disk.FS) {
	r.t.Helper()
	v := indextest.Describe(r.t, m, "/v")
	for name, want := range r.files {
		if have, err := v.ReadFile(name); err != nil || !bytes.Equal(have, want) {
			r.t.Errorf("%s: %s: have %d bytes, %v, want %d", what, name, len(have), err, len(want))
		}
	}
}

// assertPacked holds that the used blocks are those below U, and that nothing of the work is left.
func (r *rig) assertPacked(m disk.FS) {
	r.t.Helper()
	v := indextest.Describe(r.t, m, "/v")
	sum := indextest.AssertStatus(r.t, m, "/v", fsck.OK)
	if sum.Used != sum.LastUsed+1 {
		r.t.Errorf("packed volume: have %d used blocks up to block %d", sum.Used, sum.LastUsed)
	}
	f, err := m.OpenFile(v.BlocksPath, os.O_RDONLY, 0)
	r.must(err)
	defer f.Close()
	if size, err := f.Size(); err != nil || !f.IsDevice() && size != int64(sum.Used)*blockSize {
		r.t.Errorf("packed block file: have %d bytes, %v, want %d", size, err, sum.Used*blockSize)
	}
	list, err := m.ReadDir("/v")
	r.must(err)
	for _, d := range list {
		if strings.HasPrefix(d.Name(), ".") && d.Name() != ".ddfssnapshot" || strings.HasSuffix(d.Name(), ".tmp") {
			r.t.Errorf("packed volume: %s is left over", d.Name())
		}
	}
}

// asideEntries reads the entries of the file that was set aside.
func (r *rig) asideEntries(m disk.FS) []format.Entry {
	r.t.Helper()
	f, err := m.OpenFile(asidePath, os.O_RDONLY, 0)
	r.must(err)
	defer f.Close()
	list := make([]format.Entry, len(r.aside))
	n, err := recipe.New(f, r.v.Geometry).ReadEntries(0, list)
	r.must(err)
	return list[:n]
}
