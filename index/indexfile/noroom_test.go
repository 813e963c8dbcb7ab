package indexfile_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/bitmap"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/indextest"
)

// TestNoRoom lets every call of a renewal of the snapshot and of the record of the index find the disk full, once and for good: what is called done
// leaves no file behind that is not whole, and no snapshot that is not the old or the new one.
func TestNoRoom(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: 100})
	v.Store(map[string][]byte{"a": make([]byte, 100), "b": []byte("b")})
	next := bitmap.New(100)
	for i := range uint64(9) {
		next.Set(i)
	}
	renew := func(m *disktest.FS) error {
		x, err := indexfile.Open(m, v.IndexPath, v.Config, indexfile.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		defer x.Close()
		if err := indexfile.WriteSnapshot(m, "/v", next, func() error { return nil }); err != nil {
			return err
		}
		_, err = x.Record("/v", nil)
		return err
	}
	probe := m.Clone()
	probe.ResetCalls()
	if err := renew(probe); err != nil {
		t.Fatal(err)
	}
	done, failed := 0, 0
	for _, call := range append(probe.SortedCalls(), disktest.Call{Kind: disktest.Write}, disktest.Call{}) {
		times := probe.Calls()[call]
		if call.Site == "" {
			times = 40 // any call, or any write
		}
		for n := range times {
			for _, repeat := range []bool{false, true} {
				d := m.Clone()
				d.Inject(disktest.Fault{Call: call, N: n, Err: unix.ENOSPC, Repeat: repeat})
				err := renew(d)
				d.Heal()
				if d.Fired() == 0 {
					continue
				}
				what := fmt.Sprintf("%s in %s, call %d, repeat %v (%v)", call.Kind, call.Site, n, repeat, err)
				if err != nil {
					failed++
					continue
				}
				done++
				list, err := d.ReadDir("/v")
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range list {
					if strings.HasSuffix(e.Name(), ".tmp") {
						t.Errorf("%s: %s is left", what, e.Name())
					}
					if e.Name() != format.SnapshotName {
						continue
					}
					if s, err := indexfile.LoadSnapshot(d, "/v/"+e.Name(), 100); err != nil || s == nil || !s.Equal(next) && !s.Equal(v.Snapshot) {
						t.Errorf("%s: the snapshot is neither the old nor the new one: %v, %v", what, s, err)
					}
				}
			}
		}
	}
	t.Logf("%d renewals called done, %d failed", done, failed)
	if done == 0 {
		t.Error("the test sees nothing")
	}
}

// TestRecordWithoutRoom: where there is no room for a record there is none: that of an earlier session would say that there was no session since.
func TestRecordWithoutRoom(t *testing.T) {
	m := disktest.New()
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: 100})
	v.Store(map[string][]byte{"a": make([]byte, 100)})
	x, err := indexfile.Open(m, v.IndexPath, v.Config, indexfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	record := func(want bool) {
		t.Helper()
		done, err := x.Record("/v", nil)
		if !done || err != nil {
			t.Fatalf("have %v, %v", done, err)
		}
		if have, err := indexfile.Recorded(m, "/v"); err != nil || (have != "") != want {
			t.Fatalf("recorded: have %q, %v, want something: %v", have, err, want)
		}
	}
	record(true)
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Err: unix.ENOSPC}) // once: what is removed makes room
	record(true)
	m.Heal()
	m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, Err: unix.ENOSPC, Repeat: true})
	record(false)
	m.Heal()
}
