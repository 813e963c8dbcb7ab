package engine_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/integration/mounttest"
	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// A byte that is changed on the disk while the page cache has the right one: programs still read the right one, a read-back does not.
func TestReadBackPassesThePageCache(t *testing.T) {
	r := newRig(t, mounttest.Loop(t, 256<<20), orchestrator.MakeOptions{BlockSize: 128 << 10})
	const bs = 128 << 10
	s := r.mount(orchestrator.MountOptions{})
	data := pattern(5, 20*bs)
	empty(t, s, "f", int64(len(data)))
	src := source(t, data)
	if _, err := storetest.PutFile(t.Context(), s, "f", src, 0, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	at, err := r.blockAt("f", 7*bs)
	if err == nil {
		err = r.flipBelow(at, 100)
	}
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := os.ReadFile(filepath.Join(r.parent, "ddfsblocks"))
	if err != nil || !bytes.Equal(blocks[at:at+bs], data[7*bs:8*bs]) {
		t.Fatalf("the page cache does not have the right block any more (%v): this test tests nothing", err)
	}
	have, err := os.ReadFile(filepath.Join(r.point, "f"))
	if err != nil || !bytes.Equal(have, data) {
		t.Errorf("through the mount: %v, equal %v", err, bytes.Equal(have, data))
	}
	var b bytes.Buffer
	want := []orchestrator.Blocks{{First: 7, Count: 1}}
	res, err := s.ReadBack(t.Context(), "f", &b, nil)
	if !errors.Is(err, unix.EIO) || !slices.Equal(res.Bad, want) || !bytes.Equal(b.Bytes(), data[:7*bs]) {
		t.Errorf("have %+v, %v, %d bytes", res, err, b.Len())
	}
	a, err := storetest.PutFile(t.Context(), s, "f", src, 0, int64(len(data)))
	if err != nil || a.New != 1 || !slices.Equal(a.Fresh, want) {
		t.Errorf("put again: have %+v, %v", a, err)
	}
	b.Reset()
	if res, err = s.ReadBack(t.Context(), "f", &b, nil); err != nil || !bytes.Equal(b.Bytes(), data) {
		t.Errorf("healed: have %+v, %v", res, err)
	}
}
