package inode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// finder is how an object is opened when only its number is known.
type finder int

const (
	findNone     finder = iota
	findWildcard        // a handle with generation 0 matches any (ext4, btrfs)
	findBulkstat        // XFS_IOC_FSBULKSTAT_SINGLE tells the generation (xfs)
)

// xfsIocBulkstatSingle is _IOWR('X', 102, struct xfs_fsop_bulkreq) on 64 bit.
const xfsIocBulkstatSingle = 0xc0205866

// xfsBulkRequest is struct xfs_fsop_bulkreq, xfsBulkGen the offset of bs_gen in
// the 136 bytes of struct xfs_bstat (xfs_fs.h).
type xfsBulkRequest struct {
	last   *uint64
	count  int32
	_      int32
	buffer *byte
	out    *int32
}

const (
	xfsBulkSize = 136
	xfsBulkGen  = 108
)

// Probe learns which handles the file system of the directory root has and
// proves it on sample objects: the root, its parent directory and the
// descriptors in samples. mount is a descriptor of the root opened for reading,
// which must stay open as long as the result is used. An error tells why there
// are no usable handles; the tree can be served without them.
func Probe(mount int, samples ...int) (*Handles, error) {
	var raw rawHandle
	if err := nameToHandle(mount, &raw); err != nil {
		return nil, fmt.Errorf("file handles of the file system below: %w", err)
	}
	h := &Handles{mount: mount}
	h.layout, _, _ = raw.decode()
	if h.layout == layoutNone {
		return nil, fmt.Errorf("file handles of the file system below: type %#x with %d bytes is unknown", raw.kind, raw.bytes)
	}
	if h.layout == layoutBtrfs {
		h.root = binary.NativeEndian.Uint64(raw.data[8:])
	}
	var of unix.Stat_t
	if err := unix.Fstat(mount, &of); err != nil {
		return nil, fmt.Errorf("stat root directory: %w", err)
	}
	objects := append([]int{mount}, samples...)
	if up, err := unix.Openat(mount, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		defer unix.Close(up)
		objects = append(objects, up)
	}
	var telling *unix.Stat_t
	var tellingGen uint32
	for _, fd := range objects {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Dev != of.Dev {
			continue
		}
		gen, err := h.prove(fd, &st)
		if err != nil {
			return nil, err
		}
		if gen != 0 {
			telling, tellingGen = &st, gen
		}
	}
	h.probeFind(telling, tellingGen)
	return h, nil
}

// prove checks that the handle of fd carries its number and leads back to it.
func (h *Handles) prove(fd int, st *unix.Stat_t) (uint32, error) {
	gen, err := h.Generation(fd, st.Ino)
	if err != nil {
		return 0, err
	}
	back, err := h.Open(st.Ino, gen)
	if err != nil {
		return 0, err
	}
	defer unix.Close(back)
	var again unix.Stat_t
	if err := unix.Fstat(back, &again); err != nil {
		return 0, fmt.Errorf("stat inode %d opened by handle: %w", st.Ino, err)
	}
	if again.Ino != st.Ino || again.Dev != st.Dev {
		return 0, fmt.Errorf("open by handle: want inode %d, have %d", st.Ino, again.Ino)
	}
	return gen, nil
}

// probeFind looks for a way to open an object by number alone, proved on one
// whose generation is not 0.
func (h *Handles) probeFind(st *unix.Stat_t, gen uint32) {
	if st == nil {
		h.reason = "no object with a generation to try it on"
		return
	}
	for _, f := range []finder{findWildcard, findBulkstat} {
		h.find = f
		fd, err := h.OpenAny(st.Ino)
		if err != nil {
			continue
		}
		have, err := h.Generation(fd, st.Ino)
		unix.Close(fd)
		if err == nil && have == gen {
			return
		}
	}
	h.find = findNone
	h.reason = "the file system below does not find an object by its number"
}

// Exportable tells whether objects can be found by number alone; if not, why.
func (h *Handles) Exportable() (bool, string) { return h.find != findNone, h.reason }

// OpenAny opens the object with that number whatever its generation; ESTALE
// when there is none. It does not look where the object lies: see Table.Locate.
func (h *Handles) OpenAny(ino uint64) (int, error) {
	switch h.find {
	case findWildcard:
		return h.Open(ino, 0)
	case findBulkstat:
		gen, err := h.bulkstat(ino)
		if err != nil {
			return noFD, err
		}
		return h.Open(ino, gen)
	}
	return noFD, fmt.Errorf("open inode %d: %w", ino, unix.ESTALE)
}

// bulkstat asks XFS for the generation of an inode.
func (h *Handles) bulkstat(ino uint64) (uint32, error) {
	var buf [xfsBulkSize]byte
	req := xfsBulkRequest{last: &ino, count: 1, buffer: &buf[0]}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(h.mount), xfsIocBulkstatSingle, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		if errors.Is(errno, unix.EINVAL) || errors.Is(errno, unix.ENOENT) {
			errno = unix.ESTALE // the number is not in use
		}
		return 0, fmt.Errorf("generation of inode %d: %w", ino, errno)
	}
	return binary.NativeEndian.Uint32(buf[xfsBulkGen:]), nil
}
