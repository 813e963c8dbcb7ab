package verify_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/verify"
)

// attribute gives the source of a world an extended attribute, and its copy too, or skips the test.
func (w *world) attribute(rel, name, value string) {
	w.t.Helper()
	err := unix.Lsetxattr(filepath.Join(w.source, rel), name, []byte(value), 0)
	if errors.Is(err, unix.ENOTSUP) {
		w.t.Skipf("the file system of %s takes no extended attributes", w.source)
	}
	w.must(err)
	w.must(unix.Lsetxattr(w.path(rel), name, []byte(value), 0))
}

// TestTimesAndAttributes: what a restore would bring back beside the content. Each change of the copy is found against the source, and against the manifest
// after the copy was published, and told with what was wanted and found.
func TestTimesAndAttributes(t *testing.T) {
	when := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	touch := func(w *world, rel string) {
		ts := unix.NsecToTimespec(when.UnixNano())
		w.must(unix.UtimesNanoAt(unix.AT_FDCWD, w.path(rel), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	for name, one := range map[string]struct {
		change     func(w *world)
		path, text string
	}{
		"time of a file":         {func(w *world) { touch(w, "sub/exact") }, "sub/exact", "found 2001-02-03T04:05:06.000000007Z"},
		"time of an empty file":  {func(w *world) { touch(w, "empty") }, "empty", "time: wanted 2"},
		"time of a directory":    {func(w *world) { touch(w, "sub/deep") }, "sub/deep", "time: wanted 2"},
		"time of a symlink":      {func(w *world) { touch(w, "symlink") }, "symlink", "time: wanted 2"},
		"attribute has gone":     {func(w *world) { w.must(unix.Removexattr(w.path("small"), "user.colour")) }, "small", `extended attribute "user.colour": wanted one with the sum`},
		"attribute is another":   {func(w *world) { w.must(unix.Setxattr(w.path("small"), "user.colour", []byte("rex"), 0)) }, "small", `extended attribute "user.colour"`},
		"attribute is empty":     {func(w *world) { w.must(unix.Setxattr(w.path("small"), "user.colour", nil, 0)) }, "small", `extended attribute "user.colour"`},
		"attribute was added":    {func(w *world) { w.must(unix.Setxattr(w.path("sub"), "user.more", nil, 0)) }, "sub", `extended attribute "user.more": wanted none`},
		"attribute of a subtree": {func(w *world) { w.must(unix.Removexattr(w.path("sub/deep"), "user.dir")) }, "sub/deep", "user.dir"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.t = t
			w.attribute("small", "user.colour", "red\x00")
			w.attribute("sub/deep", "user.dir", "")
			c := &verify.Checker{Verifier: verify.New(verify.Options{}), Mode: verify.ModeFull, Source: func(string) (verify.Origin, error) { return verify.Origin{Roots: w.roots()}, nil }}
			v, err := c.Verify(t.Context(), w.store, dir, w.sums)
			w.must(err)
			expect(t, v, orchestrator.Verified, "", "")
			w.must(c.Write(t.Context(), w.path(""), w.sums, v))
			again := func() orchestrator.Verification {
				v, err := c.Verifier.Again(t.Context(), w.store, dir)
				w.must(err)
				return v
			}
			expect(t, again(), orchestrator.Verified, "", "")
			one.change(w)
			v, err = c.Verify(t.Context(), w.store, dir, w.sums)
			w.must(err)
			expect(t, v, orchestrator.Mismatch, one.path, one.text)
			expect(t, again(), orchestrator.Mismatch, one.path, one.text)
			w.must(os.WriteFile(w.path("backup.json"), []byte(`{"partial":["times are not kept"]}`), 0o600)) // whoever copied has told of it
			v, err = c.Verify(t.Context(), w.store, dir, w.sums)
			w.must(err)
			if v.Verdict != orchestrator.Verified || v.Changes == 0 || !strings.Contains(v.Reason, "the copy is not whole") {
				t.Errorf("a copy that says it is not whole: have %+v", v)
			}
		})
	}
}

// TestBareManifest: manifests of version 1 have no times and attributes, which is no difference.
func TestBareManifest(t *testing.T) {
	w := newWorld(t)
	c := &verify.Checker{Verifier: verify.New(verify.Options{}), Mode: verify.ModeFull}
	w.must(c.Write(t.Context(), w.path(""), w.sums, orchestrator.Verification{Verdict: orchestrator.Verified}))
	text, err := os.ReadFile(w.path("manifest.json"))
	w.must(err)
	var bare []byte
	for line := range bytes.Lines(text) {
		if before, _, ok := bytes.Cut(line, []byte(`,"mtime":`)); ok && bytes.Contains(line, []byte(`"uid"`)) {
			line = append(append(bytes.Clone(before), '}'), bytes.TrimLeft(line[len(before):], `,"mtime:0123456789-TZ.`)...)
			line = bytes.Replace(line, []byte("}}"), []byte("}"), 1)
		}
		bare = append(bare, line...)
	}
	w.must(os.WriteFile(w.path("manifest.json"), bytes.Replace(bare, []byte(`"version":2`), []byte(`"version":1`), 1), 0o600))
	w.must(os.Chtimes(w.path("small"), time.Time{}, time.Unix(1, 0)))
	v, err := c.Verifier.Again(t.Context(), w.store, dir)
	w.must(err)
	expect(t, v, orchestrator.Verified, "", "")
	w.must(os.Chmod(w.path("small"), 0o600))
	v, err = c.Verifier.Again(t.Context(), w.store, dir)
	w.must(err)
	expect(t, v, orchestrator.Mismatch, "small", "mode: wanted 0640, found 0600")
}
