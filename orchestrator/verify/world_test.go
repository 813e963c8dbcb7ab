package verify_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/cksum"
	"tresor/orchestrator/storetest"
	"tresor/orchestrator/verify"
)

const (
	name    = "dc-20260101000000"
	dir     = "bazaar.tmp/" + name
	block   = 4096
	segment = 16 * block
)

// world is a source, a store with a copy of it, and the sums that were made while it was copied.
type world struct {
	t      *testing.T
	store  *storetest.Plain
	source string
	sums   []orchestrator.FileSum
}

// newWorld has a copy of a source with everything that a tree can have.
func newWorld(t *testing.T) *world {
	t.Helper()
	base := t.TempDir()
	w := &world{t: t, store: storetest.Dir(filepath.Join(base, "volume")), source: filepath.Join(base, "source")}
	w.must(os.MkdirAll(filepath.Join(w.store.Root(), dir), 0o755))
	w.must(os.MkdirAll(filepath.Join(w.source, "sub/deep"), 0o755))
	r := rand.New(rand.NewPCG(1, 1))
	for file, size := range map[string]int{"empty": 0, "small": 5, "sub/exact": 2 * segment, "sub/deep/large": 5*segment + 3*block + 77, "Ü ber\xff\n": 100, ".hidden": 9} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		w.must(os.WriteFile(filepath.Join(w.source, file), data, 0o640))
	}
	w.must(os.WriteFile(filepath.Join(w.source, "sparse"), []byte("begin"), 0o600))
	w.must(os.Truncate(filepath.Join(w.source, "sparse"), 3*segment+11))
	w.must(os.Symlink("small", filepath.Join(w.source, "symlink")))
	w.must(os.Link(filepath.Join(w.source, "small"), filepath.Join(w.source, "sub/hard")))
	w.copy()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// copy copies all of the source as a job does.
func (w *world) copy() {
	w.t.Helper()
	objects, err := verify.Scan(w.t.Context(), w.source)
	w.must(err)
	for _, o := range objects {
		to := filepath.Join(w.store.Root(), dir, string(o.Path))
		switch o.Kind {
		case verify.Dir:
			w.must(os.MkdirAll(to, os.FileMode(o.Mode)))
		case verify.Symlink:
			w.must(os.Symlink(string(o.Target), to))
		case verify.File:
			if o.Path == "sub/hard" {
				w.must(os.Link(filepath.Join(w.store.Root(), dir, "small"), to))
				n := slices.IndexFunc(w.sums, func(f orchestrator.FileSum) bool { return f.Path == "small" })
				link := w.sums[n]
				link.Path, link.Link = o.Path, "small"
				w.sums = append(w.sums, link)
				continue
			}
			w.sums = append(w.sums, w.put(string(o.Path)))
			w.must(os.Chmod(to, os.FileMode(o.Mode)))
		}
	}
	w.times(objects)
	slices.SortFunc(w.sums, func(a, b orchestrator.FileSum) int { return strings.Compare(string(a.Path), string(b.Path)) })
	w.must(w.store.Sync(w.t.Context()))
}

// times gives the copies the times of what they were made of, directories last.
func (w *world) times(objects []verify.Object) {
	w.t.Helper()
	for _, o := range slices.Backward(objects) {
		ts := unix.NsecToTimespec(o.Mtime.UnixNano())
		w.must(unix.UtimesNanoAt(unix.AT_FDCWD, w.path(string(o.Path)), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// put copies one file, and is the sums of it.
func (w *world) put(rel string) orchestrator.FileSum {
	w.t.Helper()
	src, err := os.Open(filepath.Join(w.source, rel))
	w.must(err)
	defer src.Close()
	data, err := os.ReadFile(src.Name())
	w.must(err)
	to := filepath.Join(w.store.Root(), dir, rel)
	w.must(os.WriteFile(to, nil, 0o600))
	w.must(os.Truncate(to, int64(len(data))))
	sum := fileSum(rel, data)
	info, err := src.Stat()
	w.must(err)
	sum.Mtime = info.ModTime().UTC()
	if len(data) > 0 {
		added, err := storetest.PutFile(w.t.Context(), w.store, filepath.Join(dir, rel), src, 0, int64(len(data)))
		w.must(err)
		sum.Fresh = added.Fresh
	}
	return sum
}

// fileSum are the sums of data, made in another way than the package does.
func fileSum(rel string, data []byte) orchestrator.FileSum {
	whole := orchestrator.Digest(blake3.Sum256(data))
	f := orchestrator.FileSum{Path: orchestrator.Path(rel), Size: int64(len(data)), Cksum: cksum.Sum(data), XXH64: xxhash.Sum64(data), SegmentSize: segment, Blake3: &whole}
	for part := range slices.Chunk(data, segment) {
		f.Segments = append(f.Segments, orchestrator.Digest(blake3.Sum256(part)))
	}
	return f
}

// path is where a file of the copy lies.
func (w *world) path(rel string) string { return filepath.Join(w.store.Root(), dir, rel) }

// verify verifies with all that is wanted.
func (w *world) verify(want verify.Wanted, mode string) orchestrator.Verification {
	w.t.Helper()
	want.Files = w.sums
	v, err := verify.New(verify.Options{Workers: 3}).Verify(w.t.Context(), w.store, dir, want, mode)
	w.must(err)
	return v
}

func (w *world) roots() verify.Roots { return verify.Roots{{Path: w.source, Name: "."}} }

// expect holds a verdict and the first difference against what is wanted; with an empty path there is none.
func expect(t *testing.T, v orchestrator.Verification, verdict orchestrator.Verdict, path, text string) {
	t.Helper()
	if v.Verdict != verdict {
		t.Errorf("verdict %q (%s), want %q", v.Verdict, v.Reason, verdict)
	}
	if path == "" {
		if len(v.Differ) > 0 || v.Differences > 0 || v.Reason != verify.Rest(v) {
			t.Errorf("have %+v, want no difference", v)
		}
		return
	}
	if !slices.ContainsFunc(v.Differ, func(d orchestrator.Difference) bool {
		return string(d.Path) == path && strings.Contains(d.Reason, text)
	}) {
		t.Errorf("have %+v, want a difference of %q with %q", v.Differ, path, text)
	}
}

// flip changes a byte of an ordinary file, under the same time.
func (w *world) flip(path string, at int64) {
	w.t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	w.must(err)
	defer f.Close()
	info, err := f.Stat()
	w.must(err)
	defer func() { w.must(os.Chtimes(path, time.Time{}, info.ModTime())) }()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	w.must(err)
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	w.must(err)
	w.must(f.Sync())
}

// rewrite stores other bytes in the copy in the right way: what a program does that writes into a backup through the mount.
func (w *world) rewrite(rel string, at int64) {
	w.t.Helper()
	data, err := os.ReadFile(w.path(rel))
	w.must(err)
	data = bytes.Clone(data)
	data[at] ^= 1
	other := filepath.Join(w.t.TempDir(), "other")
	w.must(os.WriteFile(other, data, 0o600))
	src, err := os.Open(other)
	w.must(err)
	defer src.Close()
	info, err := os.Stat(w.path(rel))
	w.must(err)
	_, err = storetest.PutFile(context.Background(), w.store, filepath.Join(dir, rel), src, 0, int64(len(data)))
	w.must(err)
	w.must(os.Chtimes(w.path(rel), time.Time{}, info.ModTime()))
}

// at is a clock that stands still.
type at time.Time

func (c at) Now() time.Time { return time.Time(c) }
func (c at) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return context.Cause(ctx)
}
