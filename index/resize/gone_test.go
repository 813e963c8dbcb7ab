package resize_test

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/resize"
)

// interrupted calls fn with images of a resize that was cut off with a batch in its journal: one for each set of files in it.
func interrupted(t *testing.T, j job, r *rig, fn func(what string, img *disktest.FS, paths []string)) {
	t.Helper()
	seen := map[string]int{}
	for k := range len(r.m.Ops()) + 1 {
		img := r.m.Crash(k, disktest.Torn, uint64(k))
		paths, err := resize.JournalPaths(img, "/v")
		if err != nil {
			continue // not there yet
		}
		key := strings.Join(paths, " ")
		// Some changes into the batch, so that files are half written.
		if seen[key]++; len(paths) > 0 && seen[key] == 3 {
			fn(fmt.Sprintf("crash at change %d, journal of %s", k, key), img, paths)
		}
	}
	if len(seen) < 5 {
		t.Errorf("%s: only %d journals", j.name, len(seen))
	}
}

func acrossBoth() []job {
	return slices.DeleteFunc(jobs(), func(j job) bool { return !strings.Contains(j.name, "across") })
}

// TestFileGone: a file that was to be converted was deleted by hand meanwhile. The others are.
func TestFileGone(t *testing.T) {
	for _, j := range acrossBoth() {
		r := j.prepare(t)
		want := j.want(t, r)
		interrupted(t, j, r, func(what string, img *disktest.FS, paths []string) {
			for _, gone := range paths {
				m, left := img.Clone(), mapsClone(want)
				if gone == "ddfsroot/a" || gone == "ddfsroot/dir/a2" {
					continue // TestFileMoved
				}
				what := what + ": " + gone
				r.must(m.Remove("/v/" + gone))
				delete(left, gone)
				res, err := run(m, resize.Options{Batch: small})
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				if !slices.Equal(res.Gone, []string{gone}) {
					t.Errorf("%s: have %q reported as gone", what, res.Gone)
				}
				assertSame(t, what, image(t, m), left)
			}
			// A directory with all that is in it.
			if slices.Contains(paths, "ddfsroot/dir/tail") {
				m, left := img.Clone(), mapsClone(want)
				for name := range want {
					if strings.HasPrefix(name, "ddfsroot/dir/") && name != "ddfsroot/dir/a2" {
						r.must(m.Remove("/v/" + name))
						delete(left, name)
					}
				}
				if _, err := run(m, resize.Options{Batch: small}); err != nil {
					t.Errorf("%s: directory: %v", what, err)
				}
				assertSame(t, what+": directory", image(t, m), left)
			}
		})
	}
}

func mapsClone(m map[string]string) map[string]string {
	c := map[string]string{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

// TestFileMoved: a file lies elsewhere, or another one in its place: nobody knows what it is. The words say what to do, and then it goes on.
func TestFileMoved(t *testing.T) {
	for _, j := range acrossBoth() {
		r := j.prepare(t)
		want := j.want(t, r)
		interrupted(t, j, r, func(what string, img *disktest.FS, paths []string) {
			name := "/v/" + paths[0]
			refused := func(m *disktest.FS, words string) {
				t.Helper()
				before := image(t, m)
				if _, err := run(m, resize.Options{Batch: small}); err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("%s: have %v, want a refusal with %q", what, err, words)
				}
				assertSame(t, what+": refused", image(t, m), before)
			}
			goesOn := func(m *disktest.FS, left map[string]string) {
				t.Helper()
				if _, err := run(m, resize.Options{Batch: small}); err != nil {
					t.Errorf("%s: run again: %v", what, err)
				}
				assertSame(t, what, image(t, m), left)
			}
			m := img.Clone()
			r.must(m.Rename(name, "/v/ddfsroot/moved"))
			if !strings.HasPrefix(paths[0], "ddfsroot/a") { // its other name would be the first
				refused(m, "ddfsroot/moved")
			}
			r.must(m.Rename("/v/ddfsroot/moved", name))
			goesOn(m, want)

			m = img.Clone()
			r.must(m.Rename(name, "/v/aside"))
			f, err := m.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
			r.must(err)
			r.must(errors.Join(disk.WriteFull(f, []byte("something that was put there by hand"), 0), f.Close()))
			refused(m, "outside "+path.Dir("/v/ddfsroot/x"))
			r.must(m.Rename("/v/aside", name))
			goesOn(m, want)
		})
	}
}

// TestOneNameGone: of a file with two names the one in the journal was deleted.
func TestOneNameGone(t *testing.T) {
	j := across()
	r := j.prepare(t)
	want := j.want(t, r)
	tried := 0
	interrupted(t, j, r, func(what string, img *disktest.FS, paths []string) {
		if !slices.Contains(paths, "ddfsroot/a") {
			return
		}
		tried++
		r.must(img.Remove("/v/ddfsroot/a"))
		if _, err := run(img, resize.Options{Batch: small}); err == nil || !strings.Contains(err.Error(), "ddfsroot/dir/a2") {
			t.Errorf("%s: have %v, want its other name", what, err)
		}
		r.must(img.Link("/v/ddfsroot/dir/a2", "/v/ddfsroot/a"))
		if _, err := run(img, resize.Options{Batch: small}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		assertSame(t, what, image(t, img), want)
	})
	if tried == 0 {
		t.Error("no journal with the file")
	}
}
