package catalog_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
)

// tree makes files (and directories, where a name ends in a slash) below dir.
func tree(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		path := filepath.Join(dir, n)
		parent := filepath.Dir(path)
		if strings.HasSuffix(n, "/") {
			parent = path
		}
		if err := os.MkdirAll(parent, 0o755); err != nil {
			t.Fatal(err)
		}
		if parent == path {
			continue
		}
		text := "content of " + n
		if filepath.Base(n) == "checksum.crc" {
			text = "disk-flat.vmdk:930766865 9 \n"
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func list(t *testing.T, f *catalog.Folder) catalog.Listing {
	t.Helper()
	l, err := f.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func record(name string) orchestrator.Record {
	machine, begun, err := orchestrator.ParseBackupName(name)
	if err != nil {
		panic(err)
	}
	return orchestrator.Record{Name: name, ID: "01H", Machine: machine, Source: "dir", Begun: begun, Files: 3, Bytes: 7, Verdict: orchestrator.Verified}
}

// TestLegacy: what the marks of the predecessor say.
func TestLegacy(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	for name, c := range map[string]struct {
		marks   []string
		verdict orchestrator.Verdict
		partial bool
	}{
		"dc-20260101000000":       {[]string{"STATUS.ok", "checksum.crc", "ASYNC.OK"}, orchestrator.Verified, false},
		"dc-20260101000001":       {[]string{"STATUS.ok"}, orchestrator.Unverified, false},
		"dc-20260101000002":       {[]string{"STATUS.ok", "checksum.crc", "checksum_source.crc", "CRC-FAILURE"}, orchestrator.Mismatch, false},
		"dc-20260101000003":       {[]string{"STATUS.warn", "checksum.crc"}, orchestrator.Verified, true},
		"dc-20260101000004":       {[]string{"STATUS.ok", "STATUS.error", "checksum.crc"}, orchestrator.Unreadable, false},
		"dc-20260101000005":       {[]string{"ASYNC.OK"}, orchestrator.Unverified, false},
		"dc-20260101000006":       {[]string{"checksum.crc"}, orchestrator.Verified, false},
		"dc-2-20260101000000":     {[]string{"CRC-FAILURE"}, orchestrator.Mismatch, false},
		"Büro 1-20260101000000":   {[]string{"STATUS.ok"}, orchestrator.Unverified, false},
		"a\xff\n-20260101000000":  {[]string{"STATUS.ok"}, orchestrator.Unverified, false},
		"ends.-20260101000000":    {[]string{"STATUS.ok"}, orchestrator.Unverified, false},
		"-leading-20260101000000": {[]string{"STATUS.ok"}, orchestrator.Unverified, false},
	} {
		for _, m := range c.marks {
			tree(t, dir, name+"/"+m, name+"/disk-flat.vmdk")
		}
		b, err := f.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		machine, begun, _ := orchestrator.ParseBackupName(name)
		if b.Verdict != c.verdict || !b.Legacy || (len(b.Partial) > 0) != c.partial || b.Machine != machine || !b.Begun.Equal(begun) || b.Dir != filepath.Join(dir, name) {
			t.Errorf("%q with %q: have %+v, want verdict %q", name, c.marks, b, c.verdict)
		}
		if b.Pinned {
			t.Errorf("%q is pinned", name)
		}
	}
	l := list(t, f)
	if len(l.Backups) != 12 || len(l.Foreign) != 0 || len(l.Problems) != 0 {
		t.Errorf("have %d backups, foreign %q, problems %v", len(l.Backups), l.Foreign, l.Problems)
	}
	if m := l.Marks["dc-20260101000000"]; !m.Released || !m.Sums || m.Failure || m.Status != "ok" {
		t.Errorf("marks: %+v", m)
	}
}

// TestSumsThatProveNothing: the predecessor wrote such files when it could not read.
func TestSumsThatProveNothing(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	const name = "dc-20260101000000"
	for _, text := range []string{"", "disk.vmdk:\n", "disk.vmdk: \n", "a:1 2 \ndisk.vmdk:17 \n", "a:1 2 \ndisk.vmdk:17 9", "a:1 2 \n\n", "\n", ":1 2 \n", "a:-1 2 \n"} {
		tree(t, dir, name+"/disk.vmdk", name+"/STATUS.ok")
		if err := os.WriteFile(filepath.Join(dir, name, "checksum.crc"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if b, err := f.Find(name); err != nil || b.Verdict != orchestrator.Unverified || !b.Legacy {
			t.Errorf("checksum.crc %q: have %+v, %v; want unverified", text, b, err)
		}
	}
}

// TestCutOffVerification: a mark was written and the record was not, before the process was killed.
func TestCutOffVerification(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	r := record("dc-20260101000000")
	tree(t, dir, r.Name+"/CRC-FAILURE", r.Name+"/checksum.crc")
	if err := f.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	if b, err := f.Find(r.Name); err != nil || b.Verdict != orchestrator.Mismatch || b.Legacy {
		t.Errorf("have %+v, %v; want a mismatch", b, err)
	}
}

// TestFailedBackupStaysFailed: a later verification of a backup that the predecessor could not make wholly proves its files, and not that all are there. What
// is said of it stays, in all lists, also after it was pinned or verified a second time; with CRC-FAILURE it is that.
func TestFailedBackupStaysFailed(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	const name = "dc-20260101000000"
	tree(t, dir, name+"/STATUS.error", name+"/checksum.crc", name+"/disk-flat.vmdk")
	want := func(v orchestrator.Verdict, reason string) {
		t.Helper()
		b, err := f.Find(name)
		if err != nil || b.Verdict != v || !strings.Contains(b.Reason, reason) || !b.Legacy {
			t.Errorf("have %+v, %v; want verdict %q with %q", b, err, v, reason)
		}
		if l := list(t, f); len(l.Backups) != 1 || l.Backups[0].Verdict != v {
			t.Errorf("list: have %+v, want verdict %q", l.Backups, v)
		}
	}
	for range 2 {
		if err := f.Change(name, func(r *orchestrator.Record) { r.Verdict, r.Reason = orchestrator.Verified, "" }); err != nil {
			t.Fatal(err)
		}
		want(orchestrator.Unreadable, "STATUS.error")
		if err := f.Pin(name, true); err != nil {
			t.Fatal(err)
		}
		want(orchestrator.Unreadable, "STATUS.error")
	}
	tree(t, dir, name+"/CRC-FAILURE")
	if err := f.Change(name, func(r *orchestrator.Record) { r.Verdict, r.Reason = orchestrator.Mismatch, "bad" }); err != nil {
		t.Fatal(err)
	}
	want(orchestrator.Mismatch, "bad")
}

// TestPinnedStays: whoever deletes has looked a while ago.
func TestPinnedStays(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	const name, torn = "dc-20260101000000", "dc-20260102000000"
	tree(t, dir, name+"/STATUS.ok", torn+"/backup.json")
	if err := f.Pin(name, true); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{name, torn} {
		if err := f.Delete(t.Context(), n); !errors.Is(err, catalog.ErrPinned) {
			t.Errorf("delete %s: %v, want that it is pinned", n, err)
		}
	}
	if b, err := f.Find(name); err != nil || !b.Legacy {
		t.Errorf("pinned: %+v, %v; want that the predecessor made it", b, err)
	}
	if err := f.Pin(name, false); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(t.Context(), name); err != nil {
		t.Error(err)
	}
	if l := list(t, f); len(l.Backups) != 1 || l.Backups[0].Name != torn {
		t.Errorf("left: %+v", l.Backups)
	}
}

// TestWithin: a volume whose folder is a symlink does not name the backups of another disk.
func TestWithin(t *testing.T) {
	top, other := t.TempDir(), t.TempDir()
	const name = "dc-20260101000000"
	tree(t, other, name+"/STATUS.ok")
	tree(t, top, "real/"+name+"/STATUS.ok")
	for link, to := range map[string]string{"out": other, "inside": "real"} {
		if err := os.Symlink(to, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"out", "inside", "../" + filepath.Base(other), "real/" + name} {
		f := catalog.Within(top, folder)
		if l, err := f.List(t.Context()); err == nil {
			t.Errorf("%s: listed %+v", folder, l)
		}
		if err := f.Delete(t.Context(), name); err == nil {
			t.Errorf("%s: deleted", folder)
		}
	}
	if _, err := catalog.Within(top, "none").List(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	f := catalog.Within(top, "real")
	if b, err := f.Find(name); err != nil || b.Dir != filepath.Join(top, "real", name) {
		t.Errorf("have %+v, %v", b, err)
	}
	if err := f.Delete(t.Context(), name); err != nil {
		t.Error(err)
	}
}

// TestForeign: neither listed as a backup nor deleted.
func TestForeign(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	tree(t, outside, "dc-20260101000000/STATUS.ok")
	tree(t, dir, "dc/STATUS.ok", "dc-2026/STATUS.ok", "dc-20260101000000.old/STATUS.ok", "dc-20261301000000/STATUS.ok", "unmarked-20260101000000/disk",
		"marks-are-files-20260101000000/STATUS.ok/", "file-20260101000000", "-20260101000000/STATUS.ok", "dc-202601010000000/STATUS.ok",
		".deleting-nothing/x", "noskipcrc")
	for from, to := range map[string]string{
		"link-20260101000000":             filepath.Join(outside, "dc-20260101000000"),
		"unmarked-20260101000000/dc.link": outside,
	} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "marklink-20260101000000"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "dc-20260101000000/STATUS.ok"), filepath.Join(dir, "marklink-20260101000000/STATUS.ok")); err != nil {
		t.Fatal(err)
	}
	f := catalog.Open(dir)
	l := list(t, f)
	if len(l.Backups) != 0 || len(l.Problems) != 0 || len(l.Foreign) != 12 || !l.NoSkipSums {
		t.Errorf("have %+v", l)
	}
	for _, name := range append(l.Foreign, "..", "../"+filepath.Base(outside), "", "dc*-20260101000000", "missing-20260101000000") {
		if err := f.Delete(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("delete %q: %v, want that it does not exist", name, err)
		}
		if err := f.Pin(name, true); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("pin %q: %v, want that it does not exist", name, err)
		}
	}
	if after := list(t, f); !slices.Equal(after.Foreign, l.Foreign) {
		t.Errorf("foreign after deletions: %q, before %q", after.Foreign, l.Foreign)
	}
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	r := record("dc-20260101000000")
	if err := f.WriteRecord(r); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("record of a backup that is not there: %v", err)
	}
	tree(t, dir, r.Name+"/etc/passwd", r.Name+"/.backup.json.tmp")
	r.Partial, r.Compared = []string{"/x: permission denied"}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := f.WriteRecord(r); err != nil {
		t.Fatal(err)
	}
	b, err := f.Find(r.Name)
	if err != nil || b.Legacy || b.Verdict != orchestrator.Verified || b.Partial[0] != r.Partial[0] || !b.Compared.Equal(r.Compared) {
		t.Errorf("have %+v, %v", b, err)
	}
	if err := f.Pin(r.Name, true); err != nil {
		t.Fatal(err)
	}
	if err := f.Change(r.Name, func(r *orchestrator.Record) { r.Reason = "verified for hours" }); err != nil {
		t.Fatal(err)
	}
	if b, _ := f.Find(r.Name); !b.Pinned || b.Files != 3 || b.Reason != "verified for hours" {
		t.Errorf("pinned: %+v", b)
	}
	for name, change := range map[string]func(*orchestrator.Record){
		"another machine": func(r *orchestrator.Record) { r.Machine = "d" },
		"a path":          func(r *orchestrator.Record) { r.Name, r.Machine = "../dc-20260101000000", "../dc" },
		"no date":         func(r *orchestrator.Record) { r.Name = "dc" },
	} {
		bad := r
		change(&bad)
		if err := f.WriteRecord(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestDamagedRecords: a backup whose record cannot be believed is kept, and somebody is told.
func TestDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	for name, text := range map[string]string{
		"empty-20260101000000": "", "text-20260101000000": "STATUS", "half-20260101000000": `{"name":"half-20260101000000","machine":"ha`,
		"other-20260101000000":   `{"name":"dc-20260101000000","machine":"dc"}`,
		"verdict-20260101000000": `{"name":"verdict-20260101000000","machine":"verdict","verdict":"fine"}`,
	} {
		tree(t, dir, name+"/x")
		if err := os.WriteFile(filepath.Join(dir, name, "backup.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree(t, dir, "dir-20260101000000/backup.json/x", "fifo-20260101000000/x", "huge-20260101000000/x")
	if err := unix.Mkfifo(filepath.Join(dir, "fifo-20260101000000/backup.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "huge-20260101000000/backup.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "huge-20260101000000/backup.json"), 1<<40); err != nil {
		t.Fatal(err)
	}
	tree(t, dir, "link-20260101000000/x")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link-20260101000000/backup.json")); err != nil {
		t.Fatal(err)
	}
	l := list(t, f)
	if len(l.Backups) != 9 || len(l.Problems) != 9 || len(l.Foreign) != 0 {
		t.Errorf("have %d backups, %d problems, foreign %q", len(l.Backups), len(l.Problems), l.Foreign)
	}
	for i, b := range l.Backups {
		if !b.Pinned || b.Verdict != orchestrator.Unreadable || b.Reason == "" || l.Problems[i].Name != b.Name || !strings.Contains(l.Problems[i].Text, b.Name) {
			t.Errorf("have %+v, problem %+v", b, l.Problems[i])
		}
	}
}

func TestKeepVersions(t *testing.T) {
	dir := t.TempDir()
	f := catalog.Open(dir)
	want := func(n int) {
		t.Helper()
		if have, err := f.KeepVersions(); err != nil || have != n {
			t.Errorf("have %d, %v; want %d", have, err, n)
		}
	}
	want(0)
	for _, n := range []int{7, 12, 0, 0} {
		if err := f.SetKeepVersions(n); err != nil {
			t.Fatal(err)
		}
		want(n)
	}
	if err := f.SetKeepVersions(-1); err == nil {
		t.Error("-1 versions: no error")
	}
	for text, n := range map[string]int{"KEEPVERSIONSONFINALTARGET=5\n": 5, "# by hand\nlet KEEPVERSIONSONFINALTARGET=\"6\"": 6, "KEEPVERSIONSONFINALTARGET=0": -1,
		"KEEPVERSIONSONFINALTARGET=200 # these disks are large\n": 200, "KEEPVERSIONSONFINALTARGET=\"8\"\t#x": 8, "KEEPVERSIONSONFINALTARGET=9 reboot": -1,
		"": -1, "KEEPVERSIONSONFINALTARGET=$(reboot)": -1, "KEEPVERSIONS=4": -1, "KEEPVERSIONSONFINALTARGET=-3": -1} {
		if err := os.WriteFile(filepath.Join(dir, "KEEPVERSIONS"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			want(n)
		} else if have, err := f.KeepVersions(); err == nil {
			t.Errorf("%q: have %d and no error", text, have)
		}
	}
	if l := list(t, f); len(l.Foreign) != 0 {
		t.Errorf("foreign: %q", l.Foreign)
	}
}

// TestNotMounted: the folder of a volume that is missing is not an empty folder.
func TestNotMounted(t *testing.T) {
	dir := t.TempDir()
	if _, err := catalog.Open(filepath.Join(dir, "none")).List(context.Background()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	tree(t, dir, "NOT_MOUNTED", "dc-20260101000000/STATUS.ok")
	f := catalog.Open(dir)
	if _, err := f.List(t.Context()); !errors.Is(err, catalog.ErrNotMounted) {
		t.Errorf("list: %v", err)
	}
	if err := f.Delete(t.Context(), "dc-20260101000000"); !errors.Is(err, catalog.ErrNotMounted) {
		t.Errorf("delete: %v", err)
	}
}
