package indexfile_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/blockhash"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// hashedAtOnce is how many bytes of an index one processor reads and hashes. A record of another version of the program has the same.
const hashedAtOnce = 1 << 20

// paged is a configuration whose table has so many pages, without a rest: its entries take 32 bytes.
func paged(t testing.TB, blocks int64, pages uint64) *format.Config {
	t.Helper()
	c := config(t, blocks)
	c.AddrSize, c.NodeSize = 8, 32
	c.NodeBlockCount, c.NodeCount = pages, pages*format.IndexPage/32
	c.IndexSize = c.NodeOffset + int64(pages)*format.IndexPage
	c.IndexBlockCount = uint64(c.IndexSize) / format.IndexPage
	return c
}

// spread makes an index with something everywhere in it.
func spread(t testing.TB, m disk.FS, name string, c *format.Config) {
	t.Helper()
	x, err := indexfile.Create(m, name, c)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for n := range uint64(2000) {
		e := entry(n)
		clear(e.Hash[c.HashSize:])
		binary.BigEndian.PutUint64(e.Hash[:], n*(1<<64/2000)+n)
		first, last, err := x.Table().Insert(e)
		if err != nil {
			t.Fatal(err)
		}
		x.MarkSlots(first, last)
		x.Bitmap().Set(n * (c.BlockCount - 1) / 1999)
	}
	if err := x.Seal(); err != nil {
		t.Fatal(err)
	}
}

// contentOf is what identifies an index, by its bytes on the disk.
func contentOf(t testing.TB, m disk.FS, name string, c *format.Config) string {
	t.Helper()
	f, err := m.OpenFile(name, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kind := blockhash.Default()
	var sizes, sums []byte
	for _, part := range []struct{ off, n int64 }{{c.FreeblockOffset, c.FreeblockSize}, {c.NodeOffset, int64(c.NodeCount) * int64(c.NodeSize)}} {
		sizes = binary.BigEndian.AppendUint64(sizes, uint64(part.n))
		for from := int64(0); from < part.n; from += hashedAtOnce {
			p := make([]byte, min(hashedAtOnce, part.n-from))
			if err := disk.ReadFull(f, p, part.off+from); err != nil {
				t.Fatal(err)
			}
			sum := kind.Sum(p)
			sums = append(sums, sum[:kind.Size()]...)
		}
	}
	sum := kind.Sum(append(sizes, sums...))
	return fmt.Sprintf("%x", sum[:kind.Size()])
}

// TestOpenKnowsContent holds that the content that is found out while the index is read is the one found out afterwards, and nothing but what the bytes on the disk
// say; that nothing is hashed where nobody asks; and that it is found out anew after a change.
func TestOpenKnowsContent(t *testing.T) {
	const page = hashedAtOnce / format.IndexPage // pages of a chunk
	large, err := format.NewConfig(format.CreateOptions{Hash: "TIGER128", BlockSize: 4096, Size: (8*hashedAtOnce + 77) * 4096, Overflow: format.MinOverflow,
		IndexFilename: "ddfsidx", BlockFilename: "ddfsblocks"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*format.Config{
		"no whole page":      config(t, 5000),
		"one page less":      paged(t, 5000, page-1),
		"one chunk":          paged(t, 5000, page),
		"one page more":      paged(t, 5000, page+1),
		"three chunks":       paged(t, 5000, 3*page),
		"odd entries, five":  config(t, 150_000),
		"bitmap of 2 chunks": large,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Geometry(); err != nil {
				t.Fatal(err)
			}
			m := disktest.New()
			m.CheckLeaks(t)
			spread(t, m, "/idx", c)
			want := contentOf(t, m, "/idx", c)
			for _, o := range []indexfile.Options{{}, {ReadOnly: true}, {ReadOnly: true, Content: true}, {Content: true}} {
				if c == large && (!o.Content || o.ReadOnly) {
					continue // it takes 200 MB
				}
				x, err := indexfile.Open(m, "/idx", c, o)
				if err != nil {
					t.Fatal(err)
				}
				defer x.Close()
				if have, hashed := ask(x); have != want || hashed == o.Content {
					t.Errorf("%+v: have content %s, hashed when asked for it %v; want %s, %v", o, have, hashed, want, !o.Content)
				}
				if n := x.Table().Check(func(f tableFinding) { t.Errorf("table: %+v", f) }); n != 2000 || x.Bitmap().Count() < 2000 {
					t.Errorf("%+v: have %d entries, %d blocks, want 2000 each at least", o, n, x.Bitmap().Count())
				}
				if o.Content && !o.ReadOnly && c != large {
					change(t, x, want, func() string { return contentOf(t, m, "/idx", c) })
				}
			}
		})
	}
}

// change holds that the content is not that of old after each kind of change, but that of the disk.
func change(t *testing.T, x *indexfile.File, old string, onDisk func() string) {
	t.Helper()
	first, last, err := x.Table().Insert(entry(4321))
	if err != nil {
		t.Fatal(err)
	}
	x.MarkSlots(first, last)
	if have, hashed := ask(x); have == old || !hashed {
		t.Errorf("after a change: have content %s, hashed %v; want another than %s, true", have, hashed, old)
	}
	x.Bitmap().Set(11)
	for i, flush := range []func() error{func() error { return x.FlushTable(nil) }, func() error { return x.FlushBitmap(x.Bitmap()) }} {
		if err := flush(); err != nil {
			t.Fatal(err)
		}
		if have, hashed := ask(x); have != onDisk() || have == old || !hashed {
			t.Errorf("after a flush of %s: have content %s, hashed %v; want %s, true", []string{"the table", "the bitmap"}[i], have, hashed, onDisk())
		}
	}
}

// ask asks for the content and tells whether it was hashed for that.
func ask(x *indexfile.File) (content string, hashed bool) {
	var parts atomic.Int64
	content = x.Content(func(_, _ format.Slot, do func()) {
		parts.Add(1)
		do()
	})
	return content, parts.Load() > 0
}

// TestOpenFailsAtAnyRead fails each read of an index of several chunks in turn, at once and after a part of it, or has it end early: the error names the file, and nothing stays open.
func TestOpenFailsAtAnyRead(t *testing.T) {
	m, c := disktest.New(), config(t, 150_000)
	spread(t, m, "/idx", c)
	for _, content := range []bool{false, true} {
		for _, cause := range []error{unix.EIO, nil} {
			n := 0
			for ; ; n++ {
				fired := m.Fired()
				m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Read}, N: n, Partial: 100 * n, Err: cause})
				x, err := indexfile.Open(m, "/idx", c, indexfile.Options{Content: content})
				m.Heal()
				if m.Fired() == fired {
					if err != nil {
						t.Fatal(err)
					}
					x.Close()
					break
				}
				want := cause
				if cause == nil {
					want = io.ErrUnexpectedEOF
				}
				var where *disk.Error
				if x != nil || !errors.Is(err, want) || !errors.As(err, &where) || where.Name != "/idx" || where.Op != "read" {
					t.Errorf("read %d: have %v, want %v that names the file", n, err, want)
				}
				m.CheckLeaks(t)
			}
			if n != 8 { // the magic, the bitmap, six of the table
				t.Errorf("%d reads, want 8", n)
			}
		}
	}
}

// badSectors is a disk with places that cannot be read. A read that covers none of them and was begun beside one that fails lasts until that one is over, and some time longer.
type badSectors struct {
	disk.FS
	bad []int64 // in rising order; a read that meets one waits until that of the next has failed

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	failed  int // reads that failed
	good    int // reads behind the first bad sector that began
	running int
	reads   int
}

func newBadSectors(fs disk.FS, bad ...int64) *badSectors {
	s := &badSectors{FS: fs, bad: bad}
	s.changed.L = &s.mu
	return s
}

// OpenFile implements disk.FS.
func (s *badSectors) OpenFile(name string, flag int, perm iofs.FileMode) (disk.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &badFile{f, s}, nil
}

type badFile struct {
	disk.File
	s *badSectors
}

// ReadAt implements disk.File as a file of the operating system does.
func (f *badFile) ReadAt(p []byte, off int64) (int, error) {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	s.running++
	defer func() { s.running-- }()
	end := off + int64(len(p))
	for i, at := range s.bad {
		if at < off || at >= end {
			continue
		}
		for cores.Count() > 1 && (i+1 < len(s.bad) && s.failed == 0 || len(s.bad) == 1 && s.good == 0) {
			s.changed.Wait()
		}
		n, err := f.File.ReadAt(p[:at-off], off)
		if err == nil {
			err = &disk.Error{Op: "read", Name: f.Name(), Off: at, Err: unix.EIO}
		}
		s.failed++
		s.changed.Broadcast()
		return n, err
	}
	if off > s.bad[0] {
		s.good++
		s.changed.Broadcast()
		for s.failed == 0 {
			s.changed.Wait()
		}
		s.mu.Unlock()
		time.Sleep(20 * time.Millisecond) // Open must not return meanwhile
		s.mu.Lock()
	}
	return f.File.ReadAt(p, off)
}

// TestOpenBadSector has places in the middle of an index that the disk does not deliver: the error names the first of them, whichever was met first, with the
// words there were when the index was read in one go, and no read goes on in memory that is gone.
func TestOpenBadSector(t *testing.T) {
	// So large that after an error something is left, of which each processor may have begun with a part or two.
	chunks := 6 + 2*cores.Count()
	c := paged(t, 5000, uint64(chunks*hashedAtOnce/format.IndexPage))
	table := c.NodeOffset
	for name, tt := range map[string]struct {
		bad  []int64
		want string
	}{
		"bitmap":        {[]int64{c.FreeblockOffset + 500}, fmt.Sprintf("read bitmap of the index: read /idx offset %d: input/output error", c.FreeblockOffset+500)},
		"first of all":  {[]int64{table}, fmt.Sprintf("read table of the index: read /idx offset %d: input/output error", table)},
		"in the middle": {[]int64{table + 2*hashedAtOnce + 4096}, fmt.Sprintf("read table of the index: read /idx offset %d: input/output error", table+2*hashedAtOnce+4096)},
		"the later first": {[]int64{table + 2*hashedAtOnce + 4096, table + 3*hashedAtOnce + 512},
			fmt.Sprintf("read table of the index: read /idx offset %d: input/output error", table+2*hashedAtOnce+4096)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, content := range []bool{false, true} {
				m := disktest.New()
				spread(t, m, "/idx", c)
				s := newBadSectors(m, tt.bad...)
				x, err := indexfile.Open(s, "/idx", c, indexfile.Options{Content: content})
				s.mu.Lock()
				running, reads := s.running, s.reads
				s.mu.Unlock()
				if x != nil || err == nil || err.Error() != tt.want || !errors.Is(err, unix.EIO) {
					t.Errorf("have %v, want %v", err, tt.want)
				}
				if running > 0 {
					t.Errorf("%d reads go on", running)
				}
				if reads == 2+chunks { // the magic, the bitmap, the table
					t.Error("all of the index was read after an error")
				}
				m.CheckLeaks(t)
			}
		})
	}
}
