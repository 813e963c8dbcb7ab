package fsck_test

import (
	"context"
	"errors"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// TestMadeIndexIsOwned: two volumes name one index that does not exist. Both can be acquired, and only the first repair makes it.
func TestMadeIndexIsOwned(t *testing.T) {
	m := disktest.New()
	m.MkdirAll("/other")
	var parents []*index.Parent
	for _, dir := range []string{"/v", "/w"} {
		v := indextest.New(t, indextest.Options{FS: m, Dir: dir})
		v.Store(map[string][]byte{"a": random(7, 3*4096)})
		c := *v.Config
		c.IndexFilename = "/other/index"
		if err := errors.Join(disk.WriteFileAtomic(m, dir+"/ddfs.cfg", c.Marshal(), 0o600), m.Remove(v.IndexPath)); err != nil {
			t.Fatal(err)
		}
		p, err := index.Acquire(index.Location{FS: m, Parent: dir}, index.Write)
		if err != nil {
			t.Fatal(err)
		}
		parents = append(parents, p)
	}
	repair := func(p *index.Parent) error {
		_, err := fsck.Repair(context.Background(), fsck.Of(p), fsck.RepairOptions{})
		return err
	}
	if err := repair(parents[0]); err != nil {
		t.Fatal(err)
	}
	before := indexText(t, m, "/other/index")
	if err := repair(parents[1]); !errors.Is(err, format.ErrBusy) {
		t.Errorf("the second repair: have %v, want busy", err)
	}
	if indexText(t, m, "/other/index") != before {
		t.Error("the index was changed by the second repair")
	}
	if _, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Write); !errors.Is(err, format.ErrBusy) {
		t.Errorf("have %v, want busy", err)
	}
	for _, p := range parents {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	m.CheckLeaks(t)
}
