package openfile

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/recipe"
)

// ID is the node id of a file: the inode number of the underlying file.
type ID uint64

const (
	// chunkBytes is the most data that one chunk takes (more only if one block is larger).
	chunkBytes = 1 << 20
	// chunksPerWorker bounds the data between reply and storage. Four to eight buffers per worker overlap copying and hashing;
	// more only makes errors later.
	chunksPerWorker = 6
	// singleBytes bounds the memory of the chunks of one block, singles their number. There are more of these than of the large ones: where
	// blocks take old bytes over, one sync serves all that gather while the one before runs.
	singleBytes = 8 << 20
	singles     = 256
	// frameBytes is the piece of memory of block buffers; spareFrames is how many are kept when they are not needed.
	frameBytes  = 4096
	spareFrames = 4096
	// bufferBytes and bufferBlocks bound the block buffers of all files. More gathers more small writes before a block is hashed, and counts in the daemon's memory: with
	// 56 MiB random overwrites were 1.04 times as fast, which is noise, and a daemon that did everything at once had 140 MiB beside its index.
	bufferBytes  = 32 << 20
	bufferBlocks = 16
)

// Config of a Manager.
type Config struct {
	Volume *index.Volume
	// Workers is the number of goroutines that hash and store; 0 makes every write do it itself.
	Workers int
	// BufferBytes bounds the memory of the partly written blocks of all open files, 0 for 32 MiB; there are at least 16 blocks.
	BufferBytes int64
	// Log takes one sentence about an error that no caller may be there to see; nil drops it.
	Log func(msg string)
}

// Manager owns the open files and the workers.
type Manager struct {
	vol *index.Volume
	geo *format.Geometry
	log func(string)

	queue   chan *chunk
	large   chunkPool
	small   chunkPool // of one block each; none where a block fills a large one
	workers sync.WaitGroup
	crew    int // workers
	inline  bool

	lent    sync.Pool // of *chunk without memory
	readers sync.Pool
	writers sync.Pool   // of *index.Writer, for those who are no worker
	frame   int         // size of a frame in bytes, part of a block
	views   sync.Pool   // of *View
	tables  sync.Pool   // of *[][]byte, empty, for the frames of a block
	aheads  chan []byte // memory to read ahead, nil as long as it was never needed
	frames  chan []byte // frames at rest: kept, since fresh memory is slow on first touch

	// settling is held by the one who takes all slots; nothing but slots is taken under it.
	settling sync.Mutex

	// pending counts the blocks that were accepted and may still need a free block.
	pending atomic.Int64

	// buffered is the memory of all block buffers, in bytes, limit what it may be. makingRoom is set by the one writer who flushes others'.
	buffered   atomic.Int64
	limit      int64
	makingRoom atomic.Bool

	// mu guards files and the reference counts in them. No I/O under it but the opening (and for OpenReset the emptying) of an
	// underlying file, which must happen once.
	mu    sync.Mutex
	files map[ID]*File
}

// NewManager starts the workers. Close stops them.
func NewManager(c Config) *Manager {
	m := &Manager{vol: c.Volume, geo: c.Volume.Geometry(), log: c.Log, files: make(map[ID]*File), crew: c.Workers, inline: c.Workers <= 0}
	if m.log == nil {
		m.log = func(string) {}
	}
	if c.BufferBytes <= 0 {
		c.BufferBytes = bufferBytes
	}
	m.limit = max(c.BufferBytes, bufferBlocks*int64(m.geo.BlockSize))
	n := max(c.Workers, 1) * chunksPerWorker
	m.large.init(n, max(chunkBytes, m.geo.BlockSize))
	if m.geo.BlockSize < chunkBytes {
		m.small.init(max(n, min(singles, singleBytes/m.geo.BlockSize)), m.geo.BlockSize)
	}
	m.queue = make(chan *chunk, cap(m.large.slots)+cap(m.small.slots))
	m.frame = min(frameBytes, m.geo.BlockSize)
	m.frames = make(chan []byte, spareFrames)
	m.aheads = make(chan []byte, aheadBuffers)
	for range aheadBuffers {
		m.aheads <- nil
	}
	m.tables.New = func() any { t := make([][]byte, m.geo.BlockSize/m.frame); return &t }
	m.writers.New = func() any { return m.vol.NewWriter() }
	m.readers.New = func() any { return &readState{r: m.vol.NewReader()} }
	if !m.inline {
		for range c.Workers {
			m.workers.Go(m.work)
		}
	}
	return m
}

// Close flushes and closes what is still open and stops the workers. Nothing may be called afterwards.
func (m *Manager) Close() error {
	var errs []error
	for _, f := range m.open() {
		errs = append(errs, f.flush(), f.disk.Close())
		f.unref()
	}
	close(m.queue)
	m.workers.Wait()
	return errors.Join(errs...)
}

// Open returns the open file of an inode with one more reference. The function is called only when the inode is not open
// yet; it opens the underlying file for reading and writing (for reading on a read-only volume).
//
// A file whose header cannot be what we or the original wrote is an error of class format.ErrCorrupt that names file, offset, wanted and found.
func (m *Manager) Open(id ID, open func() (disk.File, error)) (*File, error) {
	return m.openAs(id, open, false)
}

// OpenReset is Open for a caller who is about to truncate the file to 0, whatever it holds: a damaged header is replaced by that of an empty
// file. What the file referred to is then nobody's.
func (m *Manager) OpenReset(id ID, open func() (disk.File, error)) (*File, error) {
	return m.openAs(id, open, true)
}

func (m *Manager) openAs(id ID, open func() (disk.File, error), reset bool) (*File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.files[id]; f != nil {
		f.refs++
		return f, nil
	}
	d, err := open()
	if err != nil {
		return nil, err
	}
	f, err := newFile(m, id, d)
	if reset && errors.Is(err, format.ErrCorrupt) {
		m.log("a file with a damaged header is truncated, and begins anew: " + err.Error())
		if err = m.reset(d); err == nil {
			f, err = newFile(m, id, d)
		}
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	m.files[id] = f
	return f, nil
}

// reset empties an underlying file that nobody has open. A crash leaves it as it was, or of 0 bytes, which is a file of 0 bytes.
func (m *Manager) reset(d disk.File) error {
	if err := m.vol.Touch(); err != nil {
		return err
	}
	if err := d.Truncate(0); err != nil {
		return err
	}
	return recipe.New(d, m.geo).WriteHeader(0)
}

// Find returns the open file of an inode with one more reference, nil if it is not open.
func (m *Manager) Find(id ID) *File {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[id]
	if f != nil {
		f.refs++
	}
	return f
}

// open returns all open files with one more reference each.
func (m *Manager) open() []*File {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*File, 0, len(m.files))
	for _, f := range m.files {
		f.refs++
		list = append(list, f)
	}
	return list
}

// Each calls fn for every open file until it returns an error.
func (m *Manager) Each(fn func(f *File) error) error {
	var first error
	list := m.open()
	defer func() { // what a panic of fn has left
		for _, f := range list {
			first = errors.Join(first, f.Close())
		}
	}()
	for len(list) > 0 {
		if first == nil {
			first = fn(list[0])
		}
		err := list[0].Close()
		list = list[1:]
		if first == nil {
			first = err
		}
	}
	return first
}

// FlushAll brings everything that was accepted into the underlying files. Errors stay with their files as well.
func (m *Manager) FlushAll() error {
	var errs []error
	for _, f := range m.open() {
		errs = append(errs, f.flush(), f.Close())
	}
	return errors.Join(errs...)
}

// FlushOlder flushes the files that were last written to more than age ago, and of the others the block buffers that were begun before that.
func (m *Manager) FlushOlder(age time.Duration) {
	for _, f := range m.open() {
		if err := f.flushOlder(age); err != nil {
			m.log(err.Error())
		}
		if err := f.Close(); err != nil {
			m.log(err.Error())
		}
	}
}

// EachUnlinked calls fn with the underlying file of every open file that has no name any more: a reclaim must see those, and its walk cannot. The
// file is not to be closed or written.
func (m *Manager) EachUnlinked(fn func(name string, d disk.File) error) error {
	return m.Each(func(f *File) error {
		if l, ok := f.disk.(interface{ Links() (uint64, error) }); ok {
			if n, err := l.Links(); err != nil || n > 0 {
				return err
			}
		}
		return fn(f.disk.Name(), f.disk)
	})
}

// tight tells whether what is pending might not find room in the volume or on the disk below.
func (m *Manager) tight() bool { return !m.vol.HasRoom(uint64(m.pending.Load())) }

// settle waits until every chunk that was submitted before is through: what was accepted early must not lose its room to a write that
// waits for its own outcome. The caller holds no chunk.
func (m *Manager) settle() {
	m.settling.Lock()
	defer m.settling.Unlock()
	m.large.drain()
	m.small.drain()
}

// getFrame returns memory for a piece of a block, with any content.
func (m *Manager) getFrame() []byte {
	select {
	case p := <-m.frames:
		return p
	default:
		return make([]byte, m.frame)
	}
}

func (m *Manager) putFrame(p []byte) {
	select {
	case m.frames <- p:
	default:
	}
}
