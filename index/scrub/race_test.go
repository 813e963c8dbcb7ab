package scrub

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/reclaim"
)

// TestBesideWriters scrubs while files are written, rewritten and removed and a reclaim frees what they held: nobody is accused, and what really is
// bad is found.
func TestBesideWriters(t *testing.T) {
	r := newRig(t, 1000)
	e := r.fill(3, 60)
	r.remount()
	r.damage(e[100].Addr)
	n := seed(t)
	stop := make(chan struct{})
	var w sync.WaitGroup
	for k := range uint64(2) {
		w.Go(func() {
			rnd := rand.New(rand.NewPCG(n, k))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("w%d-%d", k, i%4)
				ns := make([]uint64, 20)
				for j := range ns {
					ns[j] = 1000 + rnd.Uint64N(200) // shared between the writers
				}
				r.put(format.RootName, name, ns...)
				if i%5 == 4 {
					_ = r.m.Remove(filepath.Join(parent, format.RootName, name)) // a write that is in the way makes it anew
				}
			}
		})
	}
	w.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = reclaim.Run(t.Context(), r.vol, reclaim.Options{}) // a file removed in the middle of being read ends it: no matter
			}
		}
	})
	for i := range 6 {
		rep, err := Run(t.Context(), r.vol, Options{Reset: i%3 == 0})
		if err != nil {
			t.Errorf("run %d: %v", i, err)
			break
		}
		if rep.Bad != 1 || rep.Unreadable != 0 || len(rep.Files) != 1 || rep.Files[0].Path != "file1" || rep.Files[0].Offset != 40*bs {
			t.Errorf("run %d: have %+v, want the one bad block", i, rep)
			break
		}
	}
	close(stop)
	w.Wait()
	r.put(format.RootName, "again", 101)
	if !r.readable(e) {
		t.Error("not healed from the same content")
	}
}

// TestBlockIsReusedWhileLooking: a bad block that is freed and gets other content while files are looked through is read again before a file is
// accused.
func TestBlockIsReusedWhileLooking(t *testing.T) {
	r := newRig(t, 512)
	e := r.put(format.RootName, "a", 1)
	r.put(format.RootName, "b", 2)
	r.remount()
	r.damage(e[0].Addr)
	reused := content(77)
	rep := r.scrub(Options{Progress: func(s progress.Stage) {
		if s.Unit != progress.Files || s.Done != 2 { // the second file is about to be read
			return
		}
		f, err := r.m.OpenFile(filepath.Join(parent, format.DefaultBlocksName), os.O_RDWR, 0)
		must(t, err)
		must(t, disk.WriteFull(f, reused, r.geo.Offset(e[0].Addr)))
		must(t, f.Close())
		r.write(format.RootName, "b", []format.Entry{{Addr: e[0].Addr, Hash: r.geo.Kind.Sum(reused)}})
	}})
	if len(rep.Files) != 1 || rep.Files[0].Path != "a" || rep.AffectedFiles != 1 {
		t.Errorf("have %+v, want the file that lost its content only", rep.Files)
	}
}
