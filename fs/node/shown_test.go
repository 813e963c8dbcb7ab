package node_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/node"
)

// shown is content in pieces that counts how often it was given back.
type shown struct {
	pieces   [][]byte
	released *atomic.Int64
}

func (s shown) Slices() [][]byte { return s.pieces }
func (s shown) Release()         { s.released.Add(1) }

func (s shown) Size() (n int) {
	for _, p := range s.pieces {
		n += len(p)
	}
	return n
}

// TestShown: what the data path shows is what the reader gets; where the memory cannot be read, it is an error of that read, which waits for nothing, and
// the next ones are as ever. All of it is given back.
func TestShown(t *testing.T) {
	m := newMount(t, func(c *node.Config) { c.Direct = node.DirectAlways })
	const size = 256 << 10
	name := m.path("file")
	check(t, os.WriteFile(name, make([]byte, size), 0o644))
	under, err := os.Create(filepath.Join(t.TempDir(), "mapped"))
	check(t, err)
	defer under.Close()
	good := bytes.Repeat([]byte("0123456789abcdef"), size/32)
	check(t, os.WriteFile(under.Name(), good, 0o600))
	mem, err := unix.Mmap(int(under.Fd()), 0, 4<<20, unix.PROT_READ, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(mem)
	var released, asked atomic.Int64
	show := func(second []byte) {
		f := func(int, int64) node.Shown {
			asked.Add(1)
			return shown{[][]byte{mem[:size/2], second}, &released}
		}
		m.files.shows.Store(&f)
	}
	f, err := os.Open(name)
	check(t, err)
	defer f.Close()
	read := func() ([]byte, error) {
		p := make([]byte, size)
		done := make(chan error, 1)
		go func() {
			_, err := f.ReadAt(p, 0)
			done <- err
		}()
		select {
		case err := <-done:
			return p, err
		case <-time.After(20 * time.Second):
			t.Fatal("a read has no answer")
			return nil, nil
		}
	}
	for range 3 {
		show(mem[:size/2])
		if p, err := read(); err != nil || !bytes.Equal(p, append(bytes.Clone(good), good...)) {
			t.Errorf("have %v, or other bytes than are shown", err)
		}
		show(mem[1<<20:][:size/2]) // past the end of the file below: reading it is a fault
		if _, err := read(); !errorIs(err, unix.EIO) {
			t.Errorf("memory that cannot be read: have %v, want EIO", err)
		}
	}
	for end := time.Now().Add(10 * time.Second); released.Load() < asked.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // it is given back after the answer
	}
	if asked.Load() < 6 || released.Load() != asked.Load() {
		t.Errorf("shown %d times, given back %d times", asked.Load(), released.Load())
	}
}
