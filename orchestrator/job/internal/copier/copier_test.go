package copier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/cksum"
	"tresor/orchestrator/internal/xattr"
	"tresor/orchestrator/storetest"
)

// rig is a source, a store and a log.
type rig struct {
	t        *testing.T
	src, log string
	store    *storetest.Plain
	opts     Options
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, src: filepath.Join(dir, "source"), log: filepath.Join(dir, "log"), store: storetest.Dir(filepath.Join(dir, "volume"))}
	for _, d := range []string{r.src, r.store.Root()} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.opts = Options{Target: r.store, BlockSize: 4096, Dir: "x.partial", Segment: 16384, Roots: []orchestrator.Root{{Path: r.src, Name: "data/in"}},
		Reserved: []string{"backup.json"}}
	return r
}

func (r *rig) write(name, text string) string {
	r.t.Helper()
	name = filepath.Join(r.src, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		r.t.Fatal(err)
	}
	return name
}

func (r *rig) try(ctx context.Context) (Result, error) {
	r.t.Helper()
	log, err := OpenLog(r.log, r.opts.Step)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	o := r.opts
	o.Log = log
	return Copy(ctx, o)
}

func (r *rig) copy() Result {
	r.t.Helper()
	result, err := r.try(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// target is where a source file's copy lies.
func (r *rig) target(name string) string {
	return filepath.Join(r.store.Root(), r.opts.Dir, "data/in", name)
}

// same compares copy and source by a program that knows nothing of us, and the sums with the copy.
func (r *rig) same(result Result) {
	r.t.Helper()
	if out, err := exec.Command("diff", "-r", "--no-dereference", r.src, r.target("")).CombinedOutput(); err != nil {
		r.t.Errorf("source and copy differ: %s", out)
	}
	r.sums(result)
}

func (r *rig) sums(result Result) {
	r.t.Helper()
	for i, s := range result.Sums {
		data, err := os.ReadFile(filepath.Join(r.store.Root(), r.opts.Dir, string(s.Path)))
		if err != nil {
			r.t.Fatal(err)
		}
		if i > 0 && result.Sums[i-1].Path >= s.Path {
			r.t.Errorf("%q comes after %q", s.Path, result.Sums[i-1].Path)
		}
		if s.Size != int64(len(data)) || s.Cksum != cksum.Sum(data) || s.XXH64 != xxhash.Sum64(data) {
			r.t.Errorf("%q: sums %+v are not those of the copy of %d bytes", s.Path, s, len(data))
		}
		if whole := orchestrator.Digest(blake3.Sum256(data)); s.Blake3 != nil && *s.Blake3 != whole {
			r.t.Errorf("%q: BLAKE3 %x, want %x", s.Path, *s.Blake3, whole)
		}
		var parts []orchestrator.Digest
		for rest := data; len(rest) > 0; rest = rest[min(len(rest), int(s.SegmentSize)):] {
			parts = append(parts, blake3.Sum256(rest[:min(len(rest), int(s.SegmentSize))]))
		}
		if fmt.Sprint(parts) != fmt.Sprint(s.Segments) {
			r.t.Errorf("%q: sums of segments %x, want %x", s.Path, s.Segments, parts)
		}
	}
}

// text of n bytes that is nowhere the same.
func text(n int, seed byte) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d %d\n", seed, i)
	}
	return b.String()[:n]
}

func TestTree(t *testing.T) {
	r := newRig(t)
	r.write("empty", "")
	r.write("small", "x")
	r.write("exactly a segment", text(16384, 1))
	r.write("long/ümläut \xff\xfe\n", text(100001, 2))
	r.write("skipped.tmp", "not me")
	r.write("dir/cache/deep", "nor me")
	link := r.write("linked", text(5000, 3))
	if err := errors.Join(os.Link(link, filepath.Join(r.src, "zz other name")), os.Symlink("/nowhere/at all", filepath.Join(r.src, "sym")),
		unix.Mkfifo(filepath.Join(r.src, "fifo"), 0o640), os.Mkdir(filepath.Join(r.src, "locked"), 0o111)); err != nil {
		t.Fatal(err)
	}
	r.opts.Roots[0].Exclude = []string{"*.tmp", "dir/cache/"}
	result := r.copy()
	for _, name := range []string{"skipped.tmp", "dir/cache"} {
		if _, err := os.Lstat(r.target(name)); !os.IsNotExist(err) {
			t.Errorf("%s was copied: %v", name, err)
		}
		if err := os.RemoveAll(filepath.Join(r.src, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(r.src, "fifo")); err != nil { // diff would wait for it
		t.Fatal(err)
	}
	info, err := os.Lstat(r.target("fifo"))
	if err != nil || info.Mode() != os.ModeNamedPipe|0o640 {
		t.Errorf("fifo: %v, %v", info, err)
	}
	if err := os.Remove(r.target("fifo")); err != nil {
		t.Fatal(err)
	}
	r.same(result)
	if len(result.Partial) != 0 || len(result.Skipped) != 0 || len(result.Sums) != 6 || result.Bytes != 1+16384+100001+5000 {
		t.Errorf("have %d sums of %d bytes, partial %q, skipped %q", len(result.Sums), result.Bytes, result.Partial, result.Skipped)
	}
	a, _ := os.Stat(r.target("linked"))
	b, _ := os.Stat(r.target("zz other name"))
	if !os.SameFile(a, b) || result.Sums[len(result.Sums)-1].Link != "data/in/linked" {
		t.Errorf("hard links are two files in the copy, or not told: %+v", result.Sums[len(result.Sums)-1])
	}
}

func TestRoots(t *testing.T) {
	r := newRig(t)
	r.write("backup.json", "mine")
	if result := r.copy(); len(result.Sums) != 1 {
		t.Errorf("a reserved name below the top: %+v", result)
	}
	r.opts.Roots[0].Name = "."
	if _, err := r.try(t.Context()); err == nil || !strings.Contains(err.Error(), `"backup.json"`) {
		t.Errorf("a reserved name at the top: %v, want an error that names it", err)
	}
	for _, bad := range []orchestrator.Root{{Path: "relative", Name: "a"}, {Path: r.src, Name: "../a"}, {Path: r.src, Name: "/a"}, {Path: r.src + "/none", Name: "a"}} {
		r.opts.Roots = []orchestrator.Root{bad}
		if _, err := r.try(t.Context()); err == nil {
			t.Errorf("root %+v was taken", bad)
		}
	}
	r.opts.Roots = nil
	if _, err := r.try(t.Context()); err == nil {
		t.Error("no roots: want an error")
	}
}

func TestNotItself(t *testing.T) {
	r := newRig(t)
	r.write("kept", "x")
	r.write("state/secret", "x")
	volume := filepath.Join(r.src, "volume")
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	r.store = storetest.Dir(volume)
	r.opts.Target, r.opts.Skip = r.store, []string{filepath.Join(r.src, "state"), "/does/not/exist"}
	result := r.copy()
	if len(result.Sums) != 1 || len(result.Skipped) != 2 {
		t.Errorf("have %+v, skipped %q: want one file, and two directories of ours listed", result.Sums, result.Skipped)
	}
}

func TestSparse(t *testing.T) {
	r := newRig(t)
	name := r.write("sparse", "")
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, e1 := f.WriteAt([]byte(text(8192, 1)), 8<<20)
	_, e2 := f.WriteAt([]byte(text(4096, 2)), 24<<20)
	if err := errors.Join(e1, e2, f.Truncate(32<<20+5), f.Close()); err != nil {
		t.Fatal(err)
	}
	r.opts.Segment = 1 << 20
	r.same(r.copy())
	var st unix.Stat_t
	if err := unix.Stat(r.target("sparse"), &st); err != nil || st.Blocks*512 > 1<<20 {
		t.Errorf("the copy of 12 KiB in 32 MiB takes %d bytes, %v", st.Blocks*512, err)
	}
}

func TestAttributes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	r := newRig(t)
	file := r.write("dir/file", "x")
	dir := filepath.Dir(file)
	sym := filepath.Join(r.src, "sym")
	acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 210, 4, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255,
		32, 0, 0, 0, 255, 255, 255, 255} // user::rw-, user:1234:r--, group::r--, mask::r--, other::---
	when := []unix.Timespec{{Sec: 1e9, Nsec: 5}, {Sec: 1_100_000_000, Nsec: 123456789}}
	for _, err := range []error{os.Symlink("x", sym), os.Lchown(sym, 1, 2), os.Chown(file, 3, 4), os.Chown(dir, 5, 6), unix.Setxattr(file, "user.colour", []byte("red\x00"), 0),
		unix.Setxattr(dir, "user.empty", nil, 0), os.Chmod(file, 0o640), unix.Setxattr(file, "system.posix_acl_access", acl, 0), unix.Chmod(dir, 0o2750),
		unix.UtimesNanoAt(unix.AT_FDCWD, file, when, 0), unix.UtimesNanoAt(unix.AT_FDCWD, sym, when, unix.AT_SYMLINK_NOFOLLOW),
		unix.UtimesNanoAt(unix.AT_FDCWD, dir, when, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if result := r.copy(); len(result.Partial) != 0 {
		t.Fatalf("partial: %q", result.Partial)
	}
	for _, name := range []string{"dir/file", "dir", "sym"} {
		var a, b unix.Stat_t
		if err := errors.Join(unix.Lstat(filepath.Join(r.src, name), &a), unix.Lstat(r.target(name), &b)); err != nil {
			t.Fatal(err)
		}
		if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Mtim != b.Mtim {
			t.Errorf("%s: source %+v, copy %+v", name, a, b)
		}
		xa, e1 := xattr.Read(filepath.Join(r.src, name))
		xb, e2 := xattr.Read(r.target(name))
		if err := errors.Join(e1, e2); err != nil || fmt.Sprint(xa) != fmt.Sprint(xb) || name == "dir/file" && len(xa) != 2 {
			t.Errorf("%s: attributes %q, copy %q, %v", name, xa, xb, err)
		}
	}
}
