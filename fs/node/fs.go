package node

import (
	"errors"
	"fmt"
	"sync"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// spareFiles is the room in the limit of open files for handles, sockets and
// the volume itself, beside the descriptors of nodes.
const spareFiles = 1 << 16

// FS serves one tree. It implements the raw FUSE interface; requests may come
// in parallel. Create with New, mount with the options of MountOptions, call
// Close after the unmount.
type FS struct {
	fusefs.RawFileSystem // answers ENOSYS to what is not implemented here

	cfg      Config
	timeouts Timeouts
	table    *inode.Table
	mount    int // root directory, opened for reading
	dev      uint64
	rootIno  uint64
	noExport string // why file handles are not supported, empty if they are

	handles handleTable
	results sync.Pool // *readResult
	shown   sync.Pool // *shownResult
	kept    keptPool
	whole   wholeSync
	foreign sync.Once // the message about a foreign object
	drafts  sync.Map  // temporary names of files on their way in

	// Set by Init, before the first request.
	server     *fusefs.Server
	directMmap bool
}

// New opens the tree and finds out what the file system below can do.
func New(c Config) (*FS, error) {
	if c.BlockSize <= 0 || c.EntrySize <= 0 {
		return nil, fmt.Errorf("serve %s: block size %d, entry size %d", c.Root, c.BlockSize, c.EntrySize)
	}
	fs := &FS{RawFileSystem: fusefs.NewDefaultRawFileSystem(), cfg: c, timeouts: DefaultTimeouts()}
	if fs.cfg.fsync == nil {
		fs.cfg.fsync = unix.Fsync
	}
	if fs.cfg.syncfs == nil {
		fs.cfg.syncfs = unix.Syncfs
	}
	if c.Timeouts != nil {
		fs.timeouts = *c.Timeouts
	}
	fs.shown.New = func() any { return &shownResult{pool: &fs.shown} }
	fs.results.New = func() any { return &readResult{pool: &fs.results} }
	mount, err := openat(unix.AT_FDCWD, c.Root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open root directory %s: %w", c.Root, err)
	}
	fs.mount = mount
	if err = fs.kept.open(); err == nil {
		err = fs.openTable()
	}
	if err != nil {
		err = errors.Join(err, fs.kept.close())
		unix.Close(mount)
		return nil, fmt.Errorf("serve %s: %w", c.Root, err)
	}
	return fs, nil
}

// openTable makes the node table with the root in it.
func (fs *FS) openTable() error {
	root, err := reopen(fs.mount, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("open a descriptor through /proc/self/fd: %w", err)
	}
	var st, again unix.Stat_t
	err = errors.Join(unix.Fstat(fs.mount, &st), unix.Fstat(root, &again))
	if err == nil && (st.Ino != again.Ino || st.Dev != again.Dev) {
		err = errors.New("/proc/self/fd leads elsewhere")
	}
	if err != nil {
		unix.Close(root)
		return err
	}
	fs.dev, fs.rootIno = st.Dev, st.Ino
	handles, gen := fs.probe(st.Ino)
	maxOpen := fs.cfg.MaxOpen
	if maxOpen <= 0 {
		maxOpen = inode.DefaultMaxOpen
	}
	want := uint64(maxOpen + spareFiles)
	if handles == nil {
		want *= 8 // each node that the kernel knows keeps its descriptor
	}
	have, err := inode.RaiseLimit(want)
	if err != nil {
		fs.logf("%v", err)
	}
	if handles != nil {
		maxOpen = min(maxOpen, int(have/4)) // fewer cost some system calls, nothing else
	}
	fs.table = inode.New(inode.Config{
		Root: root, RootGeneration: gen, RootIno: st.Ino, Dev: st.Dev, Handles: handles, MaxOpen: maxOpen,
	})
	return nil
}

// probe learns about file handles, tried on the root and on the first file in it.
func (fs *FS) probe(ino uint64) (*inode.Handles, uint32) {
	var samples []int
	if fd := fs.sample(); fd >= 0 {
		defer unix.Close(fd)
		samples = append(samples, fd)
	}
	h, err := inode.Probe(fs.mount, samples...)
	if err != nil {
		fs.noExport = err.Error()
		return nil, 0
	}
	if ok, why := h.Exportable(); !ok {
		fs.noExport = why
	}
	gen, err := h.Generation(fs.mount, ino)
	if err != nil {
		fs.noExport = err.Error()
		return nil, 0
	}
	return h, gen
}

// sample returns an O_PATH descriptor of something in the root, or -1.
func (fs *FS) sample() int {
	dir, err := reopen(fs.mount, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return -1
	}
	defer unix.Close(dir)
	var buf [4096]byte
	n, err := unix.Getdents(dir, buf[:])
	if err != nil {
		return -1
	}
	for d, rest, ok := inode.NextDirent(buf[:n]); ok; d, rest, ok = inode.NextDirent(rest) {
		if d.IsDot() {
			continue
		}
		if fd, err := openat(dir, string(d.Name), unix.O_PATH|unix.O_NOFOLLOW, 0); err == nil {
			return fd
		}
	}
	return -1
}

// Exportable tells whether file handles (NFS, name_to_handle_at) are stable,
// and if not, why.
func (fs *FS) Exportable() (bool, string) { return fs.noExport == "", fs.noExport }

// Close releases all descriptors. To be called once, after the unmount.
func (fs *FS) Close() error {
	err := fs.handles.closeAll(fs)
	fs.table.Close()
	return errors.Join(err, unix.Close(fs.mount), fs.kept.close())
}

// String names the file system type.
func (fs *FS) String() string { return "ddumbfs" }

// Init learns what the kernel agreed to. It is called before the first request.
func (fs *FS) Init(s *fusefs.Server) {
	fs.server = s
	fs.directMmap = s.KernelSettings().Flags64()&fs.Capabilities()&fusefs.CAP_DIRECT_IO_ALLOW_MMAP != 0
}

// InvalidateData makes the kernel forget cached content of a node, for content
// that changed otherwise than by a request (a lost block that came back). Not
// to be called while a request on the same file waits for the caller.
func (fs *FS) InvalidateData(id uint64, off, n int64) {
	if fs.server != nil {
		fs.server.InodeNotify(id, off, n) // an inode the kernel does not know is no error
	}
}

func (fs *FS) logf(format string, args ...any) {
	if fs.cfg.Log != nil {
		fs.cfg.Log(format, args...)
	}
}
