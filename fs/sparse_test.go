package fs_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What du(1) says: holes do not count, and what is there always does, open or closed, after a new mount too.
func TestRoomOfFiles(t *testing.T) {
	r := newRig(t)
	const bs, size, content = 4096, 1 << 30, 1000 * 4096
	f, err := os.Create(r.path("sparse"))
	if err != nil {
		t.Fatal(err)
	}
	err = f.Truncate(size)
	for i := range int64(3) {
		_, werr := f.WriteAt(random(uint64(i), bs), size/4*(i+1)-bs)
		err = errors.Join(err, werr)
	}
	if err := errors.Join(err, f.Close(), os.WriteFile(r.path("full"), random(9, content), 0o600)); err != nil {
		t.Fatal(err)
	}
	h, err := os.OpenFile(r.path("full"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		var a, b unix.Stat_t
		if err := errors.Join(unix.Stat(r.path("sparse"), &a), unix.Stat(r.path("full"), &b)); err != nil {
			t.Fatal(err)
		}
		if a.Size != size || a.Blocks*512 < 3*bs || a.Blocks*512 > size/100 {
			t.Errorf("%s: three blocks in %d bytes take %d", when, a.Size, a.Blocks*512)
		}
		if b.Blocks*512 != b.Size {
			t.Errorf("%s: %d bytes of content take %d", when, b.Size, b.Blocks*512)
		}
	}
	look("open")
	for i := range int64(500) { // what is on its way counts
		if _, err := h.WriteAt(random(uint64(100+i), bs), content+i*bs); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			look("growing")
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	look("closed")
	r.unmount()
	r.mount()
	look("mounted again")
}
