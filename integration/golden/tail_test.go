package golden_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// oldTail is where the files of TestOldTails end: 10 bytes into the last block, behind which their block has other data.
const oldTail = 39*4096 + 10

// makeOldTails stores copies of a.bin under new names whose header ends in the middle of the last block: what the original leaves after a
// truncation. It returns the bytes up to there.
func makeOldTails(t *testing.T, parent string, names []string) []byte {
	t.Helper()
	root := filepath.Join(parent, format.RootName)
	raw, err := os.ReadFile(filepath.Join(root, "a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	format.PutFileHeader(raw, oldTail)
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(root, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := mounttest.Volume(t, mounttest.Options{Parent: parent})
	data, err := os.ReadFile(m.Path("a.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != 40*4096 || bytes.Equal(data[oldTail:], make([]byte, len(data)-oldTail)) {
		t.Fatalf("a.bin: have %d bytes, want 40 blocks with something in the last", len(data))
	}
	m.Unmount()
	return data[:oldTail]
}

func fallocate(f *os.File, mode uint32, off, n int64) error {
	return unix.Fallocate(int(f.Fd()), mode, off, n)
}

// What lies past the end in the last block of an old file never becomes visible, whatever extends the file.
func TestOldTails(t *testing.T) {
	x := []byte("x")
	for _, list := range []string{"", "direct=always", "direct=never"} {
		cases := []struct {
			name string
			size int    // afterwards
			set  []byte // what stands at the end, if anything
			do   func(m *mounttest.Mount, f *os.File) error
		}{
			{"truncate-by-one", oldTail + 1, nil, func(_ *mounttest.Mount, f *os.File) error { return f.Truncate(oldTail + 1) }},
			{"truncate-to-the-block", 40 * 4096, nil, func(_ *mounttest.Mount, f *os.File) error { return f.Truncate(40 * 4096) }},
			{"truncate-far", 1 << 20, nil, func(_ *mounttest.Mount, f *os.File) error { return f.Truncate(1 << 20) }},
			{"write-in-the-block", oldTail + 2001, x, func(_ *mounttest.Mount, f *os.File) error {
				_, err := f.WriteAt(x, oldTail+2000)
				return err
			}},
			{"write-far", 99*4096 + 5, x, func(_ *mounttest.Mount, f *os.File) error {
				_, err := f.WriteAt(x, 99*4096+4)
				return err
			}},
			{"write-whole-blocks-far", 51 * 4096, nil, func(_ *mounttest.Mount, f *os.File) error {
				_, err := f.WriteAt(make([]byte, 4096), 50*4096)
				return err
			}},
			{"append", oldTail + 1, x, func(m *mounttest.Mount, f *os.File) error {
				a, err := os.OpenFile(f.Name(), os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					return err
				}
				_, err = a.Write(x)
				return errors.Join(err, a.Close())
			}},
			{"allocate", oldTail + 3000, nil, func(_ *mounttest.Mount, f *os.File) error { return fallocate(f, 0, 0, oldTail+3000) }},
			{"allocate-keep-size", oldTail, nil, func(_ *mounttest.Mount, f *os.File) error {
				return fallocate(f, unix.FALLOC_FL_KEEP_SIZE, 0, oldTail+3000)
			}},
			{"zero-range", oldTail + 900, nil, func(_ *mounttest.Mount, f *os.File) error {
				return fallocate(f, unix.FALLOC_FL_ZERO_RANGE, oldTail+500, 400)
			}},
			{"punch-past-the-end", oldTail + 4000, nil, func(_ *mounttest.Mount, f *os.File) error {
				err := fallocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, oldTail+100, 100)
				return errors.Join(err, f.Truncate(oldTail+4000))
			}},
			{"cut-and-truncate", 40 * 4096, nil, func(_ *mounttest.Mount, f *os.File) error {
				return errors.Join(f.Truncate(oldTail-1), f.Truncate(oldTail), f.Truncate(40*4096), write(f, oldTail-1))
			}},
			{"clone-and-truncate", 40 * 4096, nil, cloneOver},
			{"clone-into-the-hole", 60 * 4096, nil, func(m *mounttest.Mount, f *os.File) error {
				return clone(m, "zeros", f, 50*4096, 5*4096, 60*4096)
			}},
		}
		t.Run("with "+list, func(t *testing.T) {
			parent := mounttest.Golden(t, "tiger-4k")
			var names []string
			for _, c := range cases {
				names = append(names, c.name)
			}
			data := makeOldTails(t, parent, names)
			m := mounttest.Volume(t, mounttest.Options{Parent: parent, List: list})
			for i, c := range cases {
				f, err := os.OpenFile(m.Path(c.name), os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				if i%2 == 0 { // it is a difference whether somebody looked before
					if _, err := f.ReadAt(make([]byte, 8192), 38*4096); err == nil {
						t.Errorf("%s: read across the end: have no error, want EOF", c.name)
					}
				}
				if err := errors.Join(c.do(m, f), f.Close()); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			check := func() {
				t.Helper()
				for _, c := range cases {
					want := append(bytes.Clone(data), make([]byte, c.size-len(data))...)
					copy(want[c.size-len(c.set):], c.set)
					if c.name == "cut-and-truncate" {
						want[oldTail-1] = 'y'
					}
					if err := isContent(m.Path(c.name), want); err != nil {
						t.Errorf("%s: %v", c.name, err)
					}
				}
			}
			check()
			m = m.Remount("")
			check()
		})
	}
}

func write(f *os.File, off int64) error {
	_, err := f.WriteAt([]byte("y"), off)
	return err
}

// cloneOver replaces a file by a clone of another one with an old tail, and makes it larger.
func cloneOver(m *mounttest.Mount, f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	return clone(m, "allocate-keep-size", f, 0, oldTail, 40*4096)
}

// clone copies n bytes of src from its start to off of f and then sets the size.
func clone(m *mounttest.Mount, src string, f *os.File, off int64, n int, size int64) error {
	s, err := os.Open(m.Path(src))
	if err != nil {
		return err
	}
	defer s.Close()
	from := int64(0)
	done, err := unix.CopyFileRange(int(s.Fd()), &from, int(f.Fd()), &off, n, 0)
	if err == nil && done != n {
		err = fmt.Errorf("copy_file_range: have %d bytes, want %d", done, n)
	}
	return errors.Join(err, f.Truncate(size))
}

func isContent(name string, want []byte) error {
	have, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if len(have) != len(want) {
		return fmt.Errorf("have %d bytes, want %d", len(have), len(want))
	}
	for i := range want {
		if have[i] != want[i] {
			return fmt.Errorf("differs at offset %d: have %x, want %x", i, have[i:min(i+8, len(have))], want[i:min(i+8, len(want))])
		}
	}
	return nil
}
