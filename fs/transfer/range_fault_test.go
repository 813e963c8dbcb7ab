package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/transfer"
	"tresor/index/disk/disktest"
	"tresor/index/format"
)

// Each call of the disk fails in turn while a range is stored over another one: it is an error, or the new content is there. What is not in the range
// stays, and every block of it is the old one, the new one or an error.
func TestRangeWithEveryCallFailing(t *testing.T) {
	const bs, n = 4096, 16
	base := newMemory(t, 100)
	old, fresh := random(3, n*bs), random(4, n*bs)
	clear(fresh[8*bs : 10*bs])
	s, end := serveMemory(t, base)
	if _, err := putRange(t, s, old, 0, n*bs); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(old)
	copy(want[4*bs:12*bs], fresh[4*bs:12*bs])
	failed := 0
	for nth := 0; ; nth++ {
		d := base.Clone()
		s, end := serveMemory(t, d)
		d.Inject(disktest.Fault{N: nth, Err: unix.EIO})
		_, err := putRange(t, s, fresh, 4*bs, 8*bs)
		fired := d.Fired()
		d.Heal()
		_ = end() // a volume that could not sync refuses to be closed cleanly
		if fired == 0 {
			if err != nil {
				t.Fatalf("without a failure: %v", err)
			}
			t.Logf("%d calls, %d errors", nth, failed)
			return
		}
		if err != nil {
			failed++
		}
		data, bad := crashed(t, d, "call failed")
		if len(data) != n*bs {
			t.Fatalf("call %d failed: have %d bytes", nth, len(data))
		}
		for b := range n {
			block := data[b*bs : (b+1)*bs]
			isNew, isOld := bytes.Equal(block, want[b*bs:(b+1)*bs]), bytes.Equal(block, old[b*bs:(b+1)*bs])
			if err == nil && !isNew || bad[b] || !isOld && !isNew {
				t.Fatalf("call %d failed (%v): block %d: old %v, new %v, bad %v", nth, err, b, isOld, isNew, bad[b])
			}
		}
	}
}

// A disk that does not give back one block has a bad one; a disk that gives back nothing at all has none: it is an error, and the index stays as it is.
func TestReadBackFromAFailingDisk(t *testing.T) {
	const bs, n = 4096, 16
	d := newMemory(t, 100)
	s, end := serveMemory(t, d)
	put := func() *transfer.Ranged {
		t.Helper()
		r, err := putRange(t, s, random(5, n*bs), 0, n*bs)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	back := func() (*transfer.Back, error) {
		return s.ReadBack(context.Background(), "f", nil, transfer.BackOptions{Whole: true})
	}
	put()
	site := disktest.Call{Kind: disktest.Read, Site: "blockfile.(*File).readAt"}
	d.Inject(disktest.Fault{Call: site, Err: unix.EIO}) // the run as a whole
	if r, err := back(); err != nil || r.Blocks != n || d.Fired() != 1 {
		t.Errorf("a failure that passes: have %+v, %v, %d failures", r, err, d.Fired())
	}
	d.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read}, N: 3, Repeat: true, Err: unix.EIO})
	if r, err := back(); err == nil || r.BadBlocks != 0 {
		t.Errorf("a disk that is gone: have %+v, %v, want an error and no bad block", r, err)
	}
	d.Heal()
	if r := put(); r.New != 0 {
		t.Errorf("after that: have %+v, want all blocks known", r)
	}
	for k := range 4 { // the run, the block, its second look, the judgement
		d.Inject(disktest.Fault{Call: site, N: []int{0, 1, n + 1, n + 2}[k], Err: unix.EIO})
	}
	r, err := back()
	if !errors.Is(err, format.ErrIO) || r.BadBlocks != 1 || r.Blocks != n-1 {
		t.Errorf("one block: have %+v, %v", r, err)
	}
	d.Heal()
	if r := put(); r.New != 1 {
		t.Errorf("after that: have %+v, want one new block", r)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
