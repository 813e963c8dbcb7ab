package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// faultRig is a volume with a file, and an outside file of the same content that is mapped when it is stored again.
func faultRig(t *testing.T, size int) (v *index.Volume, name string, data []byte) {
	t.Helper()
	return faultRigOf(t, "BLAKE3", 4096, size)
}

func faultRigOf(t *testing.T, hash string, bs, size int) (v *index.Volume, name string, data []byte) {
	t.Helper()
	dir := t.TempDir()
	o := format.CreateOptions{Hash: hash, BlockSize: bs, Size: 64 << 20, Overflow: 1.3}
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: o}); err != nil {
		t.Fatal(err)
	}
	p, err := index.Acquire(index.Location{Parent: dir}, index.Write)
	if err != nil {
		t.Fatal(err)
	}
	if v, err = index.Open(p, index.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	data = make([]byte, size)
	for i := range data {
		data[i] = byte(i>>12) ^ byte(i)*byte(i>>20|1)
	}
	name = filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return v, name, data
}

// A file that is cut while it is mapped is a fault that is survived, and no content, in the assembly of any hash.
func TestHashOfACutFile(t *testing.T) {
	for _, hash := range []string{"BLAKE3", "BLAKE3-256", "TIGER", "TIGER128", "TIGER160", "SHA1"} {
		for _, bs := range []int{4096, 65536} { // BLAKE3 has other assembly for large blocks
			t.Run(fmt.Sprint(hash, "/", bs), func(t *testing.T) { hashOfACutFile(t, hash, bs) })
		}
	}
}

func hashOfACutFile(t *testing.T, hash string, bs int) {
	v, name, _ := faultRigOf(t, hash, bs, 1<<20)
	f, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	feed, err := FromFile(f).open(int64(bs))
	if err != nil {
		t.Fatal(err)
	}
	p := feed.mapped(0, 1<<20)
	if p == nil {
		t.Fatal("the file is not mapped")
	}
	defer func() { _ = disk.Unmap(p) }()
	files := openfile.NewManager(openfile.Config{Volume: v})
	defer files.Close()
	under, err := disk.OS().OpenFile(filepath.Join(v.Parent().Root, "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	file, err := files.Open(1, func() (disk.File, error) { return under, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h := file.NewHandle()
	defer h.Close()
	w := &worker{to: h.NewIngest()}
	if !w.hashed(p) {
		t.Error("a whole file: not hashed")
	}
	if err := os.Truncate(name, 100<<10); err != nil {
		t.Fatal(err)
	}
	if w.hashed(p) {
		t.Error("a file that was cut: hashed")
	}
	if disk.Populate(p) == nil {
		t.Error("a file that was cut: there")
	}
	if !w.hashed(p[:64<<10]) {
		t.Error("what is left of it: not hashed")
	}
}

// A file that is cut in the middle of a page has zeros behind its end while it is mapped, and no fault: they are no content either.
func TestSourceCutInsideAPage(t *testing.T) {
	v, name, data := faultRig(t, 1<<20)
	clear(data[len(data)-100:])
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	target := NewTarget(v, 0)
	defer target.Close()
	if _, err := target.CopyIn(t.Context(), "f", FromFile(f), InOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := target.begin(filepath.Join(v.Parent().Root, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.drop()
	feed, err := FromFile(f).open(4096)
	if err != nil {
		t.Fatal(err)
	}
	s, err := feed.next(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, int64(len(data)-100)); err != nil {
		t.Fatal(err)
	}
	g := &ingest{crew: newCrew(t.Context()), feed: feed, bs: 4096}
	w := &worker{g: g, to: d.h.NewIngest(), buf: make([]byte, pieceIn), known: true}
	if w.span(s) || !errors.Is(g.failed, errShorter) {
		t.Errorf("have %v, want %v", g.failed, errShorter)
	}
}

// cutting cuts the file when most of it was read.
type cutting struct {
	disk.File
	name string
	at   int64
}

func (c *cutting) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.at {
		if err := os.Truncate(c.name, c.at/2); err != nil {
			return 0, err
		}
	}
	return c.File.ReadAt(p, off)
}

// A source that is cut in the middle is an error, and the target is what it was, whether it was being read or mapped.
func TestSourceCutInTheMiddle(t *testing.T) {
	v, name, data := faultRig(t, 12<<20)
	target := NewTarget(v, 0)
	defer target.Close()
	open := func() disk.File {
		f, err := disk.OS().OpenFile(name, os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	if _, err := target.CopyIn(t.Context(), "f", FromFile(open()), InOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := target.CopyIn(t.Context(), "f", FromFile(&cutting{open(), name, 8 << 20}), InOptions{}); err == nil {
		t.Error("cut while it is read: no error")
	}
	failed, want := 0, data
	for i := range 20 { // known content: mapped. It is cut at another moment each time.
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f := open()
		cut := make(chan error, 1)
		timer := time.AfterFunc(time.Duration(i)*500*time.Microsecond, func() { cut <- os.Truncate(name, 5<<20+99) })
		w, err := target.CopyIn(t.Context(), "f", FromFile(f), InOptions{})
		if !timer.Stop() {
			<-cut
		}
		if err != nil {
			failed++
		} else if want = data; w.Bytes != int64(len(data)) { // cut before it began
			want = data[:5<<20+99]
		}
		var b bytes.Buffer
		s, err := OpenSource(v.Parent())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.CopyOut(context.Background(), "f", Stream(context.Background(), &b), OutOptions{})
		if err = errors.Join(err, s.Close()); err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Fatalf("round %d: have %d bytes, %v, want %d", i, b.Len(), err, len(want))
		}
	}
	t.Logf("%d of 20 were cut in the middle", failed)
}
