package openfile_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/format"
)

// TestDamagedHeader opens files whose headers are damaged: an error says what is wrong where; and whoever truncates such a file to 0 can use it.
func TestDamagedHeader(t *testing.T) {
	for name, damage := range map[string]func(p []byte) []byte{
		"magic":      func(p []byte) []byte { copy(p, "garbage!"); return p },
		"zeros":      func(p []byte) []byte { clear(p[:16]); return p },
		"size":       func(p []byte) []byte { p[8] = 0xFF; return p },
		"cut":        func(p []byte) []byte { return p[:9] },
		"is no such": func([]byte) []byte { return bytes.Repeat([]byte("text"), 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: 4096, Size: 64 * 4096, Overflow: 1.3}, 1)
			h := r.file("f")
			if _, err := h.WriteAt(bytes.Repeat([]byte("data"), 3000), 0); err != nil {
				t.Fatal(err)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			p, err := os.ReadFile(r.path("f"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.path("f"), damage(p), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = r.m.Open(r.ids["f"], openUnder(r.path("f")))
			var bad *format.CorruptError
			if !errors.Is(err, format.ErrCorrupt) || !errors.As(err, &bad) || bad.Want == "" || bad.Have == "" || !strings.Contains(err.Error(), r.path("f")) {
				t.Fatalf("open: have %v, want an error of class ErrCorrupt with file, wanted and found", err)
			}
			f, err := r.m.OpenReset(r.ids["f"], openUnder(r.path("f")))
			if err != nil {
				t.Fatalf("open before a truncation: %v", err)
			}
			if err := f.Truncate(0); err != nil {
				t.Fatal(err)
			}
			again := f.NewHandle()
			want := bytes.Repeat([]byte("new"), 5000)
			if _, err := again.WriteAt(want, 0); err != nil {
				t.Fatal(err)
			}
			have := make([]byte, len(want))
			if n, err := again.ReadAt(have, 0); err != nil || n != len(want) || !bytes.Equal(have, want) {
				t.Errorf("read back: have %d bytes, %v", n, err)
			}
			if err := errors.Join(again.Close(), f.Close()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestResetKeepsWhatIsGood: a file that can be opened is not touched, and an error of the disk does not count as damage.
func TestResetKeepsWhatIsGood(t *testing.T) {
	r := newRig(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: 4096, Size: 64 * 4096, Overflow: 1.3}, 1)
	want := bytes.Repeat([]byte("data"), 3000)
	h := r.file("f")
	if _, err := h.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := r.m.OpenReset(r.ids["f"], openUnder(r.path("f")))
	if err != nil || f.Size() != int64(len(want)) {
		t.Fatalf("open: have %v, size %d", err, f.Size())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.OpenReset(99, openUnder("/proc/nothing/here")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("open of nothing: have %v, want ENOENT", err)
	}
}

// TestHealsOnlyWhatWasBad reads a range of which one block has decayed and is stored elsewhere: that one entry is corrected, and no other is
// written.
func TestHealsOnlyWhatWasBad(t *testing.T) {
	r := newRig(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: 4096, Size: 64 * 4096, Overflow: 1.3}, 1)
	data := make([]byte, 8*4096)
	for i := range data {
		data[i] = byte(i/4096 + i%251)
	}
	h := r.file("f")
	if _, err := h.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	blocks, err := os.OpenFile(r.dir+"/"+format.DefaultBlocksName, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer blocks.Close()
	if _, err := blocks.WriteAt([]byte("decayed"), 5*4096+7); err != nil { // block 3 of the file
		t.Fatal(err)
	}
	if _, err := h.ReadAt(make([]byte, len(data)), 0); !errors.Is(err, format.ErrIO) {
		t.Fatalf("read of a decayed block: have %v, want ErrIO", err)
	}
	copyOf := r.file("g")
	if _, err := copyOf.WriteAt(data[3*4096:4*4096], 0); err != nil {
		t.Fatal(err)
	}
	if err := copyOf.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := openfile.Fixes(h.File(), make([]byte, len(data)), 0); n != 1 {
		t.Errorf("have %d entries to be corrected, want 1", n)
	}
	have := make([]byte, len(data))
	if _, err := h.ReadAt(have, 0); err != nil || !bytes.Equal(have, data) {
		t.Errorf("read: %v, equal %v", err, bytes.Equal(have, data))
	}
	if n := openfile.Fixes(h.File(), have, 0); n != 0 {
		t.Errorf("have %d entries to be corrected after they were, want none", n)
	}
	if err := errors.Join(h.Close(), copyOf.Close()); err != nil {
		t.Fatal(err)
	}
}
