package resize_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/resize"
)

// TestGiveUp does by hand what docs/recovery.md says about a resize that cannot go on, in every phase but "files": all files are there.
func TestGiveUp(t *testing.T) {
	for _, j := range acrossBoth() {
		r := j.prepare(t)
		j.want(t, r)
		phases := map[string]int{}
		for k := range len(r.m.Ops()) + 1 {
			m := r.m.Crash(k, disktest.Torn, uint64(k))
			phase, next := resize.Peek(m, "/v")
			if phases[phase]++; phase == "" || phase == "files" || phases[phase] > 2 && (phase == "prepare" || k%3 != 0) {
				continue
			}
			what := fmt.Sprintf("%s, crash at change %d, phase %s", j.name, k, phase)
			list, err := m.ReadDir("/v")
			r.must(err)
			for _, e := range list {
				state := strings.HasPrefix(e.Name(), ".ddfsresize") || e.Name() == ".rebuildfsck" || strings.HasSuffix(e.Name(), ".ddfsresize")
				if state || phase != "prepare" && e.Name() == "ddfsidx" {
					r.must(m.Remove("/v/" + e.Name()))
				}
			}
			if phase != "prepare" {
				r.must(disk.WriteFileAtomic(m, "/v/ddfs.cfg", []byte(next), 0o644))
			}
			p, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Write)
			r.must(err)
			w := fsck.Of(p)
			w.Unclean = true
			if err := w.LoadState(); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(what, err)
			}
			if _, err := fsck.Repair(t.Context(), w, fsck.RepairOptions{}); err != nil {
				t.Errorf("%s: repair: %v", what, err)
			}
			r.must(p.Close())
			v := indextest.Describe(t, m, "/v")
			for path, want := range r.files {
				if have, err := v.ReadFile(path); err != nil || string(have) != string(want) {
					t.Errorf("%s: %s: have %d bytes, want %d: %v", what, path, len(have), len(want), err)
				}
			}
			if t.Failed() {
				return
			}
		}
		if phases["prepare"] == 0 || phases["switch"] == 0 || phases["done"] == 0 {
			t.Errorf("%s: phases %v", j.name, phases)
		}
	}
}
