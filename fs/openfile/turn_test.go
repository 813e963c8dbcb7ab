package openfile_test

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/openfile"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/recipe"
)

// roomFS is a disk of which a hook hears when the engine asks how much is free because it is about to take addresses for new blocks.
type roomFS struct {
	disk.FS

	mu  sync.Mutex // guards ask
	ask func() (uint64, error)
}

// plentyOfRoom is enough for every test, and so little that the engine asks again each time.
const plentyOfRoom = 1 << 30

func (f *roomFS) set(ask func() (uint64, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ask = ask
}

func (f *roomFS) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	d, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return roomFile{d, f}, nil
}

type roomFile struct {
	disk.File
	fs *roomFS
}

func (f roomFile) Free() (uint64, error) {
	f.fs.mu.Lock()
	ask := f.fs.ask
	f.fs.mu.Unlock()
	if ask == nil || !storing() {
		return plentyOfRoom, nil
	}
	return ask()
}

// storing tells whether a store of blocks has led here, not the look of a write whether there is room.
func storing() bool {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "index.(*Writer).store") {
			return true
		}
		if !more {
			return false
		}
	}
}

// newRoom is newMemory over a roomFS.
func newRoom(t *testing.T, o format.CreateOptions, workers int) (*memory, *roomFS) {
	t.Helper()
	r := newMemory(t, o, workers)
	r.close()
	room := &roomFS{FS: r.disk}
	r.hooks.FS = room
	r.open()
	return r, room
}

// addresses are those of the first n blocks of a file, which is flushed.
func (r *memory) addresses(name string, n int) []format.Address {
	r.t.Helper()
	d, err := r.disk.OpenFile(r.path(name), os.O_RDONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer d.Close()
	entries := make([]format.Entry, n)
	if got, err := recipe.New(d, r.vol.Geometry()).ReadEntries(0, entries); got != n || err != nil {
		r.t.Fatalf("entries of %s: have %d, %v, want %d", name, got, err, n)
	}
	list := make([]format.Address, n)
	for i := range entries {
		list[i] = entries[i].Addr
	}
	return list
}

// fresh is data without zero blocks or repetitions.
func fresh(seed byte, n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// TestAddressesInOrder writes new data in requests of 128 KiB, as cp does, while each chunk takes a different time until it needs addresses: they
// lie in the order of the file all the same, whoever stores them, a worker or the writer himself.
func TestAddressesInOrder(t *testing.T) {
	const request, size = 128 << 10, 8 << 20
	for _, bs := range []int{4096, request} {
		for _, files := range []int{1, 3} {
			for _, workers := range []int{2, 4} {
				t.Run(fmt.Sprintf("%d files in blocks of %d, %d workers", files, bs, workers), func(t *testing.T) {
					r, room := newRoom(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: bs, Size: 128 << 20, Overflow: 1.3}, workers)
					asked := make(chan struct{}, 1<<16)
					room.set(func() (uint64, error) {
						asked <- struct{}{}
						time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
						return plentyOfRoom, nil
					})
					var wg sync.WaitGroup
					for i := range files {
						h, data := r.file(fmt.Sprint(i)), fresh(byte(i), size)
						wg.Go(func() {
							for off := 0; off < size; off += request {
								if _, err := h.WriteAt(data[off:off+request], int64(off)); err != nil {
									t.Error(err)
								}
							}
							if err := h.Close(); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					if len(asked) < files*size/request {
						t.Fatalf("%d chunks were slowed down, want all", len(asked))
					}
					for i := range files {
						r.assertAscending(fmt.Sprint(i), size/bs)
					}
					r.close()
				})
			}
		}
	}
}

// assertAscending wants the blocks of a file on a volume that was empty in the order of the file.
func (r *memory) assertAscending(name string, n int) {
	r.t.Helper()
	list := r.addresses(name, n)
	swapped := 0
	for i := range list[1:] {
		if list[i+1] <= list[i] {
			swapped++
		}
	}
	if swapped > 0 {
		r.t.Errorf("file %s: %d of %d blocks lie before the one before them: %v ...", name, swapped, n, list[:min(n, 24)])
	}
}

// oneAfterTheOther is the situation of two chunks of a file: the first one is held where it needs addresses, then the second one comes there.
type oneAfterTheOther struct {
	t     *testing.T
	r     *memory
	h     *openfile.Handle
	bs    int
	first chan func() (uint64, error) // what becomes of the first one
	told  [2]chan error
}

// crews are the ways of a chunk: workers, its writer where these are busy, or always.
var crews = map[string]func(t *testing.T, o format.CreateOptions) (*memory, *roomFS){
	"workers": func(t *testing.T, o format.CreateOptions) (*memory, *roomFS) { return newRoom(t, o, 2) },
	"inline":  func(t *testing.T, o format.CreateOptions) (*memory, *roomFS) { return newRoom(t, o, 0) },
	"lent": func(t *testing.T, o format.CreateOptions) (*memory, *roomFS) {
		r, room := newRoom(t, o, 2)
		r.m.LendAlways()
		return r, room
	},
}

// holdFirst writes two blocks of 64 KiB, first and second, and returns when the second one waits, which it must.
func holdFirst(t *testing.T, r *memory, room *roomFS, first, second []byte) *oneAfterTheOther {
	t.Helper()
	s := &oneAfterTheOther{t: t, r: r, h: r.file("one"), bs: len(first), first: make(chan func() (uint64, error))}
	here := make(chan struct{}, 2)
	var calls atomic.Int64
	room.set(func() (uint64, error) {
		n := calls.Add(1)
		if n <= 2 {
			here <- struct{}{}
		}
		if n == 1 {
			return (<-s.first)()
		}
		return plentyOfRoom, nil
	})
	before := r.vol.Stats().Written
	for i, p := range [][]byte{first, second} {
		s.told[i] = make(chan error, 1)
		go func() {
			_, err := s.h.WriteAt(p, int64(i*len(p)))
			s.told[i] <- err
		}()
		<-here
	}
	time.Sleep(20 * time.Millisecond) // an engine that does not wait has stored it by then
	if n := r.vol.Stats().Written - before; n != 0 {
		t.Errorf("%d blocks were stored while an earlier chunk of the file had no addresses", n)
	}
	return s
}

// end lets the first one go on and waits for both.
func (s *oneAfterTheOther) end(first func() (uint64, error)) (err error) {
	s.t.Helper()
	s.first <- first
	for i := range s.told {
		err = errors.Join(err, within(s.t, "a write", func() error { return <-s.told[i] }))
	}
	return errors.Join(err, within(s.t, "the flush", s.h.Flush))
}

// TestTurnEnds has a chunk wait for its turn, and whatever happens to the one before it that turn comes.
func TestTurnEnds(t *testing.T) {
	const bs = 64 << 10
	enough := func() (uint64, error) { return plentyOfRoom, nil }
	for _, c := range []struct {
		what    string
		before  func(r *memory)
		first   func() (uint64, error)
		want    error // of one of the writes, or of the flush after them
		arrives bool  // the second one
	}{
		{"stored", nil, enough, nil, true},
		{"the disk below is full", nil, func() (uint64, error) { return 0, nil }, format.ErrNoSpace, true},
		{"its block cannot be written", func(r *memory) {
			r.disk.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write, Site: "blockfile.(*File).Write"}, Err: unix.EIO})
		}, enough, unix.EIO, false}, // that of the second one, if it is written first
	} {
		for name, crew := range crews {
			t.Run(c.what+", "+name, func(t *testing.T) {
				r, room := crew(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: bs, Size: 64 * bs, Overflow: 1.3})
				if c.before != nil {
					c.before(r)
				}
				first, second := fresh(1, bs), fresh(2, bs)
				err := holdFirst(t, r, room, first, second).end(c.first)
				if !errors.Is(err, c.want) {
					t.Errorf("have %v, want %v", err, c.want)
				}
				have := make([]byte, bs)
				h := r.file("one")
				if n, err := h.ReadAt(have, bs); c.arrives && (n != bs || err != nil || string(have) != string(second)) {
					t.Errorf("the second block is not what was written: %d bytes, %v", n, err)
				}
				if c.want == nil {
					r.assertAscending("one", 2)
				}
				_ = h.Close()
				r.disk.Heal()
				r.abandon()
			})
		}
	}
}

// TestTurnEndsFull is the same where the volume has room for one of the two only: one of them is told.
func TestTurnEndsFull(t *testing.T) {
	const bs, blocks = 64 << 10, 16
	for name, crew := range crews {
		t.Run(name, func(t *testing.T) {
			r, room := crew(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: bs, Size: (blocks + 2) * bs, Overflow: 1.3})
			other := r.file("other")
			// Known to be enough at the writes' look, and gone when they come to it.
			s := holdFirst(t, r, room, fresh(1, bs), fresh(2, bs))
			free := r.free()
			w := r.vol.NewWriter()
			left := int(free) - 1
			ticket := r.vol.Enter()
			err := w.Put(fresh(3, left*bs), make([]format.Entry, left))
			r.vol.Leave(ticket)
			if err != nil {
				t.Fatal(err)
			}
			err = s.end(func() (uint64, error) { return plentyOfRoom, nil })
			if !errors.Is(err, format.ErrNoSpace) {
				t.Errorf("have %v, want ErrNoSpace", err)
			}
			if n := r.free(); n != 0 {
				t.Errorf("%d blocks are free, want 0: one of the two had room", n)
			}
			_ = other.Close()
			r.abandon()
		})
	}
}

// free is how many blocks of the volume are free.
func (r *memory) free() uint64 {
	n := uint64(0)
	for r.vol.HasRoom(n + 1) {
		n++
	}
	return n
}

// TestTurnEndsPanic has the engine panic where the first one stands: the second one's turn comes, nobody hangs, and the next mount repairs.
func TestTurnEndsPanic(t *testing.T) {
	const bs = 64 << 10
	for name, crew := range crews {
		t.Run(name, func(t *testing.T) {
			r, room := crew(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: bs, Size: 64 * bs, Overflow: 1.3})
			old := r.file("old")
			r.write(old, pattern(1, 4*bs), 0)
			if err := old.Sync(false); err != nil {
				t.Fatal(err)
			}
			s := holdFirst(t, r, room, fresh(1, bs), fresh(2, bs))
			err := s.end(func() (uint64, error) { panic("a bug for the test") })
			if err == nil || !strings.Contains(err.Error(), "a bug for the test") || strings.Contains(err.Error(), "nobody caught it") {
				t.Errorf("the file tells %v", err)
			}
			room.set(nil)
			r.assertNothingHangs(t, old, s.h, r.file("two"))
			r.assertRepairs(t, pattern(1, 4*bs))
		})
	}
}

// TestQueuedIsNotWaitedFor has the only worker held by one file, and a chunk of another one queued: a writer who stores the next one himself, because
// the file seems to hold known data, does not wait for it. Where the file has new data he queues up as well, so that the order stays.
func TestQueuedIsNotWaitedFor(t *testing.T) {
	const bs = 64 << 10
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprint("known before: ", known), func(t *testing.T) {
			r, room := newRoom(t, format.CreateOptions{Hash: "BLAKE3", BlockSize: bs, Size: 64 * bs, Overflow: 1.3}, 1)
			one, two := r.file("one"), r.file("two")
			flush := func(h *openfile.Handle) {
				t.Helper()
				if err := within(t, "a flush", h.Flush); err != nil {
					t.Error(err)
				}
			}
			r.write(one, fresh(1, bs), 0)
			flush(one)
			if known {
				r.write(one, fresh(1, bs), 0)
				flush(one)
			}
			lent := 0
			r.m.OnLend(func() { lent++ })
			here, goOn := make(chan struct{}), make(chan struct{})
			var calls atomic.Int64
			room.set(func() (uint64, error) {
				if calls.Add(1) == 1 {
					close(here)
					<-goOn
				}
				return plentyOfRoom, nil
			})
			r.write(two, fresh(2, bs), 0)
			<-here
			r.write(one, fresh(3, bs), bs) // waits for the worker
			err := within(t, "the write", func() error { _, err := one.WriteAt(fresh(4, bs), 2*bs); return err })
			if err != nil {
				t.Error(err)
			}
			close(goOn)
			flush(one)
			flush(two)
			if want := map[bool]int{true: 1, false: 0}[known]; lent != want {
				t.Errorf("%d chunks were stored by their writer, want %d", lent, want)
			}
			if list := r.addresses("one", 3); (list[1] > list[2]) != known {
				t.Errorf("have addresses %v", list)
			}
			for _, h := range []*openfile.Handle{one, two} {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}
			r.close()
		})
	}
}
