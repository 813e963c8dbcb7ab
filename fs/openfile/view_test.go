package openfile_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/reclaim"
)

const viewBlock = 64 << 10

// stored is a volume on the real disk with a file of so many blocks, all different, all synced.
func stored(t *testing.T, o index.Options, blocks int) (*rig, *openfile.Handle, []byte) {
	t.Helper()
	r := newRig(t, format.CreateOptions{Hash: "BLAKE3", Size: 64 << 20, BlockSize: viewBlock, Overflow: 1.3}, 1)
	if o.Verify != index.VerifyFirst {
		r.close()
		r.options = o
		r.open()
	}
	h := r.file("a")
	content := pattern(7, blocks*viewBlock)
	if _, err := h.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Sync(false); err != nil {
		t.Fatal(err)
	}
	return r, h, content
}

// seen reads all of a file.
func seen(t *testing.T, h *openfile.Handle, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if got, err := h.ReadAt(p, 0); err != nil || got != n {
		t.Fatalf("have %d bytes, %v, want %d", got, err, n)
	}
	return p
}

// dropCache has the page cache forget the block file.
func (r *rig) dropCache() {
	r.t.Helper()
	f, err := disk.OS().OpenFile(r.vol.Parent().BlocksPath, unix.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		r.t.Fatal(err)
	}
	if err := disk.DropCache(f, 0, 0); err != nil {
		r.t.Fatal(err)
	}
}

// resident tells how much of the first n bytes of the block file the page cache has.
func (r *rig) resident(n int) (have int) {
	r.t.Helper()
	f, err := disk.OS().OpenFile(r.vol.Parent().BlocksPath, unix.O_RDONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	p, err := disk.MapShared(f, 0, n)
	if err != nil {
		r.t.Fatal(err)
	}
	defer disk.Unmap(p)
	for at := 0; at < n; at += 4096 {
		yes, err := disk.Resident(p[at : at+4096])
		if err != nil {
			r.t.Fatal(err)
		}
		if yes {
			have += 4096
		}
	}
	return have
}

// TestView shows what was proved and is in memory, and nothing else.
func TestView(t *testing.T) {
	r, h, content := stored(t, index.Options{}, 8)
	if v := h.View(len(content), 0); v != nil {
		t.Error("blocks that were never proved are shown")
		v.Release()
	}
	seen(t, h, len(content))
	for _, c := range []struct{ off, n, want int }{
		{0, len(content), len(content)}, {3*viewBlock + 17, 3 * viewBlock, 3 * viewBlock}, {5 * viewBlock, 20 * viewBlock, 3 * viewBlock},
		{4096, viewBlock, 0}, {len(content), 4 * viewBlock, 0},
	} {
		v := h.View(c.n, int64(c.off))
		if (v == nil) != (c.want == 0) {
			t.Fatalf("%d bytes at %d: shown %v, want %v", c.n, c.off, v != nil, c.want > 0)
		}
		if v == nil {
			continue
		}
		if have := slices.Concat(v.Slices()...); v.Size() != c.want || !bytes.Equal(have, content[c.off:c.off+c.want]) {
			t.Errorf("%d bytes at %d: have %d other bytes, want %d", c.n, c.off, v.Size(), c.want)
		}
		v.Release()
	}
	r.dropCache()
	if v := h.View(len(content), 0); v != nil {
		t.Error("what is not in memory is shown")
		v.Release()
	}
	// A read past the page cache leaves it as it is; the first one opens the file anew, which looks at its header.
	for i := range 2 {
		p := make([]byte, len(content))
		if n, err := h.ReadKept(p, 0); err != nil || !bytes.Equal(p[:n], content) {
			t.Fatalf("past the page cache: have %d bytes, %v, or others than were written", n, err)
		}
		if have := r.resident(len(content)); i > 0 && have > 0 {
			t.Errorf("after a read past the page cache: it has %d of %d bytes", have, len(content))
		}
		// What is being read ahead for the header at this moment cannot be dropped.
		for end := time.Now().Add(10 * time.Second); r.resident(len(content)) > 0 && time.Now().Before(end); {
			r.dropCache()
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestViewOfChanges: what is on its way, or partly in a block buffer, is not shown; afterwards the new content is.
func TestViewOfChanges(t *testing.T) {
	_, h, content := stored(t, index.Options{}, 8)
	seen(t, h, len(content))
	if _, err := h.WriteAt([]byte("new"), 2*viewBlock+5); err != nil {
		t.Fatal(err)
	}
	if v := h.View(4*viewBlock, 0); v != nil {
		t.Error("a range with a block buffer is shown")
		v.Release()
	}
	if v := h.View(4*viewBlock, 4*viewBlock); v == nil {
		t.Error("a range beside a block buffer is not shown")
	} else {
		v.Release()
	}
	copy(content[2*viewBlock+5:], "new")
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(seen(t, h, len(content)), content) {
		t.Fatal("not what was written")
	}
	v := h.View(len(content), 0)
	if v == nil {
		t.Fatal("what was stored and proved is not shown")
	}
	if !bytes.Equal(slices.Concat(v.Slices()...), content) {
		t.Error("the view shows something else")
	}
	v.Release()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestViewKeepsBlocks deletes the file while it is shown, and reclaims and writes as much as there is room for: what is shown stays.
func TestViewKeepsBlocks(t *testing.T) {
	r, h, content := stored(t, index.Options{}, 8)
	seen(t, h, len(content))
	v := h.View(len(content), 0)
	if v == nil {
		t.Fatal("nothing is shown")
	}
	if err := h.File().Truncate(0); err != nil {
		t.Fatal(err)
	}
	freed := make(chan error, 1)
	go func() {
		_, err := reclaim.Run(context.Background(), r.vol, reclaim.Options{})
		freed <- err
	}()
	other := r.file("b")
	for i := range 40 {
		if _, err := other.WriteAt(pattern(byte(100+i), 8*viewBlock), int64(i*8*viewBlock)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Sync(false); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(slices.Concat(v.Slices()...), content) {
		t.Error("what is shown has changed")
	}
	v.Release()
	if err := <-freed; err != nil {
		t.Fatal(err)
	}
	for _, x := range []*openfile.Handle{h, other} {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestViewVerifyAlways: who wants every read proved gets nothing that was not hashed in this very read.
func TestViewVerifyAlways(t *testing.T) {
	_, h, content := stored(t, index.Options{Verify: index.VerifyAlways}, 4)
	seen(t, h, len(content))
	if v := h.View(len(content), 0); v != nil {
		t.Error("shown without a proof")
		v.Release()
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestViewInFewPieces: the kernel takes a bounded number of pieces, and would leave the reader without an answer for more.
func TestViewInFewPieces(t *testing.T) {
	const bs = 4096
	r := newRig(t, format.CreateOptions{Hash: "BLAKE3", Size: 64 << 20, BlockSize: bs, Overflow: 1.3}, 1)
	h := r.file("scattered")
	for i := range 256 {
		if _, err := h.WriteAt(pattern(byte(i+1), bs), int64(2*i*bs)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	seen(t, h, 500*bs)
	if v := h.View(256*bs, 0); v != nil {
		t.Errorf("every other block of 256 is a hole: shown in %d pieces", len(v.Slices()))
		v.Release()
	}
	hole := r.file("hole")
	if err := hole.File().Truncate(2048 * bs); err != nil {
		t.Fatal(err)
	}
	v := hole.View(1<<20, 5)
	if v == nil {
		t.Fatal("a hole is not shown")
	}
	if n := len(v.Slices()); n > 32 || v.Size() != 1<<20 || !bytes.Equal(slices.Concat(v.Slices()...), make([]byte, 1<<20)) {
		t.Errorf("a hole of 1 MiB: %d bytes in %d pieces, or others than zeros", v.Size(), n)
	}
	v.Release()
	for _, x := range []*openfile.Handle{h, hole} {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
