package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
	"tresor/orchestrator/verify"
)

// text is the content of a file of the backup's records, or "-" if there is none.
func (w *world) text(file string) string {
	w.t.Helper()
	data, err := os.ReadFile(w.path(file))
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	w.must(err)
	return string(data)
}

// TestChecker goes the way of a job: a copy that differs gets its evidence, the next one, which is right, loses it, and is found right again later.
func TestChecker(t *testing.T) {
	w := newWorld(t)
	c := &verify.Checker{Verifier: verify.New(verify.Options{}), Mode: verify.ModeFull, Clock: at(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	check := func() orchestrator.Verification {
		t.Helper()
		v, err := c.Verify(t.Context(), w.store, dir, w.sums)
		w.must(err)
		w.must(c.Write(t.Context(), w.path(""), w.sums, v))
		return v
	}
	w.rewrite("small", 2)
	expect(t, check(), orchestrator.Mismatch, "small", "segment 0")
	source, target := w.text("checksum_source.crc"), w.text("checksum.crc")
	have, err := os.ReadFile(w.path("small"))
	w.must(err)
	for file, want := range map[string]string{
		source: line(w.sums, "small") + line(w.sums, "sparse"), target: line([]orchestrator.FileSum{fileSum("small", have)}, "small") + line(w.sums, "sparse"),
	} {
		if !strings.Contains(file, want) {
			t.Errorf("have:\n%s\nwant in it:\n%s", file, want)
		}
	}
	if mark := w.text("CRC-FAILURE"); !strings.HasPrefix(mark, "") || !strings.Contains(mark, `"small": copy: segment 0`) {
		t.Errorf("CRC-FAILURE:\n%s", mark)
	}
	if strings.Count(source, "\n") != strings.Count(target, "\n") || !strings.Contains(target, "sub/hard:"+strings.TrimPrefix(line([]orchestrator.FileSum{fileSum("small", have)}, "small"), "small:")) {
		t.Errorf("the other name of the file:\n%s", target)
	}

	w.rewrite("small", 2)
	expect(t, check(), orchestrator.Verified, "", "")
	if w.text("checksum.crc") != source || w.text("CRC-FAILURE") != "-" || w.text("checksum_source.crc") != "-" {
		t.Errorf("after success: %q, %q, %q", w.text("checksum.crc"), w.text("CRC-FAILURE"), w.text("checksum_source.crc"))
	}
	v, err := verify.New(verify.Options{}).Again(t.Context(), w.store, dir)
	w.must(err)
	expect(t, v, orchestrator.Verified, "", "")

	w.must(c.Write(t.Context(), w.path(""), w.sums, orchestrator.Verification{Verdict: orchestrator.Skipped}))
	if w.text("checksum.crc") != "-" || w.text("manifest.json") == "-" {
		t.Errorf("after a copy that was not verified: sums %q", w.text("checksum.crc"))
	}
}

// line is that of a file in checksum.crc.
func line(list []orchestrator.FileSum, path string) string {
	for _, f := range list {
		if string(f.Path) == path {
			return fmt.Sprintf("%s:%d %d \n", f.Path, f.Cksum, f.Size)
		}
	}
	return "none of " + path
}

// TestCheckerSource: a job whose source stands still has it read again.
func TestCheckerSource(t *testing.T) {
	w := newWorld(t)
	asked := ""
	c := &verify.Checker{Verifier: verify.New(verify.Options{Idle: true}), Mode: verify.ModeNew, Again: true,
		Source: func(backup string) (verify.Origin, error) {
			asked = backup
			return verify.Origin{Roots: w.roots()}, nil
		}}
	w.flip(w.source+"/small", 1)
	v, err := c.Verify(t.Context(), w.store, dir, w.sums)
	w.must(err)
	expect(t, v, orchestrator.Mismatch, "small", "source, read again")
	if asked != name {
		t.Errorf("asked for the source of %q", asked)
	}
	c.Source = func(string) (verify.Origin, error) { return verify.Origin{}, nil }
	v, err = c.Verify(t.Context(), w.store, dir, w.sums)
	w.must(err)
	expect(t, v, orchestrator.Verified, "", "")
}

// TestUnreadEvidence: what could not be read has no line in the sums of the copy, and many differences leave no file that looks complete.
func TestUnreadEvidence(t *testing.T) {
	w := newWorld(t)
	w.store.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpReadBack && strings.HasSuffix(s.Path, "sparse") {
			return unix.EIO
		}
		return nil
	}
	v := w.verify(verify.Wanted{}, verify.ModeFull)
	w.must(verify.Mark(w.path(""), w.sums, v))
	if have := w.text("checksum.crc"); strings.Contains(have, "sparse") || !strings.Contains(have, line(w.sums, "small")) {
		t.Errorf("checksum.crc:\n%s", have)
	}
	v.Differences = len(v.Differ) + 1
	w.must(verify.Mark(w.path(""), w.sums, v))
	if w.text("checksum.crc") != "-" || w.text("CRC-FAILURE") == "-" {
		t.Errorf("more differences than are listed: checksum.crc %q", w.text("checksum.crc"))
	}
}

// TestAgain verifies published backups: with a damaged manifest, of the predecessor, and without anything.
func TestAgain(t *testing.T) {
	w := newWorld(t)
	again := func() orchestrator.Verification {
		t.Helper()
		v, err := verify.New(verify.Options{}).Again(t.Context(), w.store, dir)
		w.must(err)
		return v
	}
	if _, err := verify.New(verify.Options{}).Again(t.Context(), w.store, dir); !errors.Is(err, verify.ErrNoSums) {
		t.Errorf("no sums: %v", err)
	}
	w.must(verify.Mark(w.path(""), w.sums, orchestrator.Verification{Verdict: orchestrator.Verified})) // all that the predecessor has left
	w.must(os.WriteFile(w.path("du.txt"), []byte("a report"), 0o600))
	expect(t, again(), orchestrator.Verified, "", "")
	w.rewrite("sub/exact", 9)
	for range 3 { // what was found is not what is wanted the next time
		v := again()
		expect(t, v, orchestrator.Mismatch, "sub/exact", "cksum: wanted")
		w.must(verify.Mark(w.path(""), wanted(t, w.path("")), v))
	}
	w.must(os.Truncate(w.path("sub/exact"), 4))
	expect(t, again(), orchestrator.Mismatch, "sub/exact", "size: wanted 131072, found 4")
	w.must(os.Remove(w.path("sub/exact")))
	expect(t, again(), orchestrator.Mismatch, "sub/exact", "missing")
	w.must(os.WriteFile(w.path("manifest.json"), []byte("{"), 0o600))
	expect(t, again(), orchestrator.Unreadable, "manifest.json", "read manifest")
	w.must(os.Remove(w.path("manifest.json")))
	w.must(os.Remove(w.path("checksum_source.crc")))
	w.must(os.WriteFile(w.path("checksum.crc"), []byte("small:1"), 0o600))
	for _, record := range []string{"", `{"name":"` + name + `","id":""}`} { // a line of somebody else that cannot be read says nothing about the backup
		if record != "" {
			w.must(os.WriteFile(w.path("backup.json"), []byte(record), 0o600))
		}
		if v, err := verify.New(verify.Options{}).Again(t.Context(), w.store, dir); !errors.Is(err, verify.ErrNoSums) || !strings.Contains(err.Error(), "sums of a backup: line 1") {
			t.Errorf("record %q: have %+v, %v; want that there are no sums, and the line", record, v, err)
		}
	}
	for _, record := range []string{`"id":"","mode":"full"`, `"id":"01H"`} { // but that we wrote such a line does
		w.must(os.WriteFile(w.path("backup.json"), []byte(`{"name":"`+name+`",`+record+`}`), 0o600))
		expect(t, again(), orchestrator.Unreadable, "manifest.json", "")
	}
}

// TestSumsThatProveNothing: an empty checksum.crc, which the predecessor wrote when it could not read, one that lacks a file, and a manifest that is gone.
func TestSumsThatProveNothing(t *testing.T) {
	w := newWorld(t)
	verifier := verify.New(verify.Options{})
	w.must(os.WriteFile(w.path("checksum.crc"), nil, 0o600))
	if v, err := verifier.Again(t.Context(), w.store, dir); !errors.Is(err, verify.ErrNoSums) {
		t.Errorf("empty checksum.crc: have %+v, %v", v, err)
	}
	w.must(os.WriteFile(w.path("checksum.crc"), []byte(line(w.sums, "empty")+line(w.sums, "sparse")), 0o600))
	v, err := verifier.Again(t.Context(), w.store, dir)
	w.must(err)
	expect(t, v, orchestrator.Unreadable, "small", "no sum")
	w.must(os.WriteFile(w.path("backup.json"), []byte(`{"name":"`+name+`","id":""}`), 0o600)) // somebody pinned it
	w.must(os.WriteFile(w.path("checksum.crc"), []byte(line(w.sums, "empty")+line(w.sums, "sparse")+line(w.sums, "small")), 0o600))
	w.must(os.Remove(w.path("Ü ber\xff\n")))
	v, err = verifier.Again(t.Context(), w.store, dir)
	w.must(err)
	expect(t, v, orchestrator.Verified, "", "")
	w.must(os.WriteFile(w.path("backup.json"), []byte(`{"name":"`+name+`","id":"01H"}`), 0o600))
	v, err = verifier.Again(t.Context(), w.store, dir)
	w.must(err)
	expect(t, v, orchestrator.Unreadable, "manifest.json", "manifest.json is missing")
}

// TestMarkAgain: a later verification finds damage, finds it healed, and finds a manifest that cannot be read. Marks follow, and no sums are lost.
func TestMarkAgain(t *testing.T) {
	w := newWorld(t)
	c := &verify.Checker{Verifier: verify.New(verify.Options{}), Mode: verify.ModeFull}
	w.must(c.Write(t.Context(), w.path(""), w.sums, orchestrator.Verification{Verdict: orchestrator.Skipped, Reason: "signal skipcrc"}))
	again := func(want orchestrator.Verdict, marks string) {
		t.Helper()
		v, err := c.Verifier.Again(t.Context(), w.store, dir)
		w.must(err)
		w.must(verify.MarkAgain(w.path(""), v))
		have := ""
		for _, file := range []string{"CRC-FAILURE", "checksum_source.crc", "checksum.crc"} {
			if w.text(file) != "-" {
				have += file + " "
			}
		}
		if v.Verdict != want || strings.TrimSpace(have) != marks {
			t.Errorf("verdict %q (%s) with the marks %q, want %q with %q", v.Verdict, v.Reason, have, want, marks)
		}
	}
	again(orchestrator.Verified, "checksum.crc") // a copy that was skipped is proved later
	sums := w.text("checksum.crc")
	w.rewrite("small", 2)
	again(orchestrator.Mismatch, "CRC-FAILURE checksum_source.crc checksum.crc")
	if w.text("checksum_source.crc") != sums || w.text("checksum.crc") == sums {
		t.Errorf("evidence: %q and %q, want the former as %q", w.text("checksum_source.crc"), w.text("checksum.crc"), sums)
	}
	w.rewrite("small", 2)
	again(orchestrator.Verified, "checksum.crc")
	if w.text("checksum.crc") != sums {
		t.Errorf("healed: %q, want %q", w.text("checksum.crc"), sums)
	}
	w.must(os.WriteFile(w.path("manifest.json"), []byte("{"), 0o600))
	again(orchestrator.Unreadable, "CRC-FAILURE checksum.crc")
	if w.text("checksum.crc") != sums {
		t.Errorf("the last sums there are: %q, want %q", w.text("checksum.crc"), sums)
	}
	for _, v := range []orchestrator.Verdict{orchestrator.Unverified, orchestrator.Skipped, orchestrator.Verified} {
		if err := verify.MarkAgain(w.path(""), orchestrator.Verification{Verdict: v}); err == nil {
			t.Errorf("verdict %q beside an unreadable manifest: no error", v)
		}
	}
	if w.text("CRC-FAILURE") == "-" {
		t.Error("wrong calls took the mark away")
	}
}

func wanted(t *testing.T, backup string) []orchestrator.FileSum {
	t.Helper()
	w, err := verify.Published(backup)
	if err != nil {
		t.Fatal(err)
	}
	return w.Files
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := orchestrator.Record{Name: name, Reason: "old"}
	verify.Judge(&r, orchestrator.Verification{Verdict: orchestrator.Verified, Mode: "new", Compared: now, Reason: "the rest"})
	if r.Verdict != orchestrator.Verified || r.Mode != "new" || !r.Compared.Equal(now) || r.Reason != "the rest" {
		t.Errorf("have %+v", r)
	}
	verify.Judge(&r, orchestrator.Verification{Verdict: orchestrator.Mismatch, Mode: "full", Reason: "it differs"})
	if r.Verdict != orchestrator.Mismatch || r.Reason != "it differs" {
		t.Errorf("have %+v", r)
	}
	verify.Skip(&r, "signal skipcrc", now)
	if r.Verdict != orchestrator.Skipped || r.Reason != "signal skipcrc" || r.Mode != "" {
		t.Errorf("have %+v", r)
	}
}
