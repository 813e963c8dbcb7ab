package verify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/verify"
)

func TestEqual(t *testing.T) {
	w := newWorld(t)
	for _, mode := range []string{verify.ModeFull, verify.ModeNew} {
		v := w.verify(verify.Wanted{}, mode)
		expect(t, v, orchestrator.Verified, "", "")
		if v.Mode != mode || v.Compared.IsZero() || v.Read == 0 || v.Known != 0 {
			t.Errorf("%s: have %+v", mode, v)
		}
		objects, err := verify.Scan(t.Context(), w.path(""))
		w.must(err)
		expect(t, w.verify(verify.Wanted{Source: w.roots(), Again: true, Objects: objects}, mode), orchestrator.Verified, "", "")
	}
}

// TestFlipInSource: a byte of the source changes after the copy, under the same size and time. The sums were made of what was copied, so the copy is
// right: only a second reading of the source finds it, and says on which side.
func TestFlipInSource(t *testing.T) {
	for _, mode := range []string{verify.ModeFull, verify.ModeNew} {
		w := newWorld(t)
		w.flip(filepath.Join(w.source, "sub/deep/large"), 3*segment+5)
		v := w.verify(verify.Wanted{Source: w.roots(), Again: true}, mode)
		expect(t, v, orchestrator.Mismatch, "sub/deep/large", "source, read again: segment 3 (bytes 196608 to 262143): wanted BLAKE3")
		if len(v.Differ) != 1 {
			t.Errorf("have %+v, want one difference", v.Differ)
		}
		expect(t, w.verify(verify.Wanted{Source: w.roots()}, mode), orchestrator.Verified, "", "")
		w.must(os.Remove(filepath.Join(w.source, "sub/deep/large")))
		expect(t, w.verify(verify.Wanted{Source: w.roots(), Again: true}, mode), orchestrator.Mismatch, "sub/deep/large", "gone")
	}
}

// TestFlipInTarget: somebody writes into the copy through the mount. The store holds well what was written, so its hashes are right, and mode new, which
// trusts hashes, cannot find it: the changed block is not one that the copy noted as new. Full finds it.
func TestFlipInTarget(t *testing.T) {
	w := newWorld(t)
	w.rewrite("sub/exact", segment+1)
	v := w.verify(verify.Wanted{}, verify.ModeFull)
	expect(t, v, orchestrator.Mismatch, "sub/exact", "copy: segment 1 (bytes 65536 to 131071)")
	if h := v.Differ[0].Have; h == nil || h.Cksum == 0 || len(h.Segments) != 2 || h.Path != "sub/exact" {
		t.Errorf("evidence: %+v", v.Differ[0].Have)
	}
	for i := range w.sums { // as if the volume had held these blocks before
		if w.sums[i].Path == "sub/exact" {
			w.sums[i].Fresh = nil
		}
	}
	_, err := w.store.Scrub(t.Context(), 0)
	w.must(err)
	expect(t, w.verify(verify.Wanted{}, verify.ModeNew), orchestrator.Verified, "", "")
}

// TestFlipBelowCache: the disk gives other bytes than were stored. Full finds each place. New finds those in blocks that this copy stored; a block that
// an earlier copy had stored is not read, and the outcome says how many those are and when they were proved last.
func TestFlipBelowCache(t *testing.T) {
	w := newWorld(t)
	scrubbed := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	w.store.Now = func() time.Time { return scrubbed }
	_, err := w.store.Scrub(t.Context(), 0)
	w.must(err)
	for i := range w.sums {
		if w.sums[i].Path == "sub/deep/large" { // of which an earlier copy had stored the first three blocks
			w.sums[i].Fresh = []orchestrator.Blocks{{First: 3, Count: 80}, {First: 83, Count: 1}}
		}
	}
	for _, c := range []struct {
		at       int64
		mode     string
		found    bool
		complain string
	}{
		{0, verify.ModeFull, true, "block 0"},
		{83 * block, verify.ModeFull, true, "block 83"},
		{83*block + 76, verify.ModeNew, true, "block 83"},
		{3 * block, verify.ModeNew, true, "block 3"},
		{3*block - 1, verify.ModeNew, false, ""},
	} {
		w.must(w.store.Flip(filepath.Join(dir, "sub/deep/large"), c.at))
		v := w.verify(verify.Wanted{}, c.mode)
		if c.found {
			expect(t, v, orchestrator.Mismatch, "sub/deep/large", "other bytes than were stored: "+c.complain)
		} else {
			expect(t, v, orchestrator.Verified, "", "")
		}
		if c.mode == verify.ModeNew && !c.found {
			if v.Known != 3 || !v.Scrubbed.Equal(scrubbed) || !strings.Contains(verify.Rest(v), "3 blocks are known by their hash: the volume was scrubbed last on 2026-02-03") {
				t.Errorf("have %+v, %q", v, verify.Rest(v))
			}
		}
		w.must(w.store.Flip(filepath.Join(dir, "sub/deep/large"), c.at))
	}
}

// TestOldScrub: mode new relies on the last scrub, unless there was none, or it is too old, or older than what nobody has read back.
func TestOldScrub(t *testing.T) {
	w := newWorld(t)
	scrubbed := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	w.store.Now = func() time.Time { return scrubbed }
	for i := range w.sums {
		w.sums[i].Fresh = nil
	}
	w.must(w.store.Flip(filepath.Join(dir, "sub/exact"), 7))
	var unproved time.Time
	check := func(now time.Time, limit time.Duration) orchestrator.Verification {
		want := verify.Wanted{Files: w.sums, Unproved: unproved}
		v, err := verify.New(verify.Options{Clock: at(now), MaxScrubAge: limit}).Verify(t.Context(), w.store, dir, want, verify.ModeNew)
		w.must(err)
		return v
	}
	expect(t, check(scrubbed, 0), orchestrator.Mismatch, "sub/exact", "block 0") // never scrubbed
	expect(t, check(scrubbed, time.Hour), orchestrator.Mismatch, "sub/exact", "block 0")
	w.must(w.store.Flip(filepath.Join(dir, "sub/exact"), 7))
	_, err := w.store.Scrub(t.Context(), 0)
	w.must(err)
	w.must(w.store.Flip(filepath.Join(dir, "sub/exact"), 7))
	expect(t, check(scrubbed.Add(time.Minute), time.Hour), orchestrator.Verified, "", "")
	expect(t, check(scrubbed.Add(2*time.Hour), time.Hour), orchestrator.Mismatch, "sub/exact", "block 0")
	expect(t, check(scrubbed.Add(-2*time.Hour), time.Hour), orchestrator.Mismatch, "sub/exact", "block 0") // a date in the future is none
	expect(t, check(scrubbed.Add(1000*time.Hour), 0), orchestrator.Verified, "", "")                       // any age
	unproved = scrubbed.Add(-time.Second)
	expect(t, check(scrubbed.Add(time.Minute), time.Hour), orchestrator.Verified, "", "")
	unproved = scrubbed
	expect(t, check(scrubbed.Add(time.Minute), time.Hour), orchestrator.Mismatch, "sub/exact", "block 0")
}

// TestLists: what is missing, added or of another kind is found in both modes, without and with the lists of objects.
func TestLists(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(w *world)
		path, text string
		objects    bool // found only where the list of objects, or the source, is known
	}{
		"file missing":        {func(w *world) { w.must(os.Remove(w.path("empty"))) }, "empty", "missing", false},
		"file added":          {func(w *world) { w.must(os.WriteFile(w.path("sub/new"), nil, 0o600)) }, "sub/new", "additional", false},
		"record in the depth": {func(w *world) { w.must(os.WriteFile(w.path("sub/backup.json"), nil, 0o600)) }, "sub/backup.json", "additional", false},
		"a link for a file": {func(w *world) {
			w.must(os.Rename(w.path("empty"), filepath.Join(t.TempDir(), "x")))
			w.must(os.Symlink("small", w.path("empty")))
		}, "empty", "found symlink", false},
		"a directory for a file": {func(w *world) { w.must(os.Remove(w.path("empty"))); w.must(os.Mkdir(w.path("empty"), 0o755)) }, "empty", "found dir", false},
		"a fifo for a file":      {func(w *world) { w.must(os.Remove(w.path("empty"))); w.must(unix.Mkfifo(w.path("empty"), 0o600)) }, "empty", "found fifo", false},
		"file longer":            {func(w *world) { w.must(os.Truncate(w.path("small"), 6)) }, "small", "size: wanted 5, found 6", false},
		"file empty":             {func(w *world) { w.must(os.Truncate(w.path("small"), 0)) }, "small", "size: wanted 5, found 0", false},
		"link is a file of its own": {func(w *world) {
			w.must(os.Rename(w.path("sub/hard"), w.path("sub/moved")))
			w.put("sub/hard")
			w.must(os.Chmod(w.path("sub/hard"), 0o640))
			w.must(os.Remove(w.path("sub/moved")))
		}, "sub/hard", "link: wanted another name", false},
		"symlink leads elsewhere": {func(w *world) { w.must(os.Remove(w.path("symlink"))); w.must(os.Symlink("large", w.path("symlink"))) },
			"symlink", `target: wanted "small", found "large"`, true},
		"mode":          {func(w *world) { w.must(unix.Chmod(w.path("small"), 0o4755)) }, "small", "mode: wanted 0640, found 4755", true},
		"mode of a dir": {func(w *world) { w.must(os.Chmod(w.path("sub"), 0o777)) }, "sub", "mode: wanted 0755", true},
		"dir added":     {func(w *world) { w.must(os.Mkdir(w.path("more"), 0o755)) }, "more", "additional: dir", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.t = t
			objects, err := verify.Scan(t.Context(), w.source)
			w.must(err)
			c.change(w)
			for _, mode := range []string{verify.ModeFull, verify.ModeNew} {
				expect(t, w.verify(verify.Wanted{Objects: objects}, mode), orchestrator.Mismatch, c.path, c.text)
				if c.objects {
					expect(t, w.verify(verify.Wanted{}, mode), orchestrator.Verified, "", "")
				} else {
					expect(t, w.verify(verify.Wanted{}, mode), orchestrator.Mismatch, c.path, c.text)
				}
				if c.objects && !strings.HasPrefix(c.text, "additional") {
					expect(t, w.verify(verify.Wanted{Source: w.roots()}, mode), orchestrator.Mismatch, c.path, c.text)
				}
			}
		})
	}
}

// TestOwner needs the right to give files away.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to change owners")
	}
	w := newWorld(t)
	w.must(os.Lchown(w.path("symlink"), 12, 34))
	expect(t, w.verify(verify.Wanted{Source: w.roots()}, verify.ModeFull), orchestrator.Mismatch, "symlink", "owner: wanted 0:0, found 12:34")
}
