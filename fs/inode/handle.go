package inode

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxHandle is the kernel's MAX_HANDLE_SZ.
const maxHandle = 128

// rawHandle is struct file_handle of name_to_handle_at(2).
type rawHandle struct {
	bytes uint32
	kind  int32
	data  [maxHandle]byte
}

// layout is how a file system packs inode number and generation into a handle.
type layout int

const (
	layoutNone  layout = iota
	layoutIno32        // FILEID_INO32_GEN: u32 number, u32 generation (ext4, xfs with small numbers)
	layoutXFS64        // XFS: u64 number, u32 generation
	layoutBtrfs        // btrfs: u64 object, u64 root, u32 generation
	layoutShmem        // tmpfs: u32 generation, u32 number low, u32 number high
)

// Types and lengths of the handles above (include/linux/exportfs.h, fs/xfs/xfs_export.h,
// fs/btrfs/export.h, mm/shmem.c).
const (
	typeIno32, lenIno32 = 0x01, 8
	typeXFS64, lenXFS64 = 0x81, 12
	typeBtrfs, lenBtrfs = 0x4d, 20
	typeShmem, lenShmem = 0x01, 12
)

// decode returns number and generation of a handle of a known form.
func (h *rawHandle) decode() (l layout, ino uint64, gen uint32) {
	le := binary.NativeEndian
	switch {
	case h.kind == typeIno32 && h.bytes == lenIno32:
		return layoutIno32, uint64(le.Uint32(h.data[0:])), le.Uint32(h.data[4:])
	case h.kind == typeXFS64 && h.bytes == lenXFS64:
		return layoutXFS64, le.Uint64(h.data[0:]), le.Uint32(h.data[8:])
	case h.kind == typeBtrfs && h.bytes == lenBtrfs:
		return layoutBtrfs, le.Uint64(h.data[0:]), le.Uint32(h.data[16:])
	case h.kind == typeShmem && h.bytes == lenShmem:
		ino = uint64(le.Uint32(h.data[4:])) | uint64(le.Uint32(h.data[8:]))<<32
		return layoutShmem, ino, le.Uint32(h.data[0:])
	}
	return layoutNone, 0, 0
}

// encode is the reverse of decode for a probed file system.
func (h *Handles) encode(raw *rawHandle, ino uint64, gen uint32) {
	le := binary.NativeEndian
	switch h.layout {
	case layoutIno32:
		raw.kind, raw.bytes = typeIno32, lenIno32
		le.PutUint32(raw.data[0:], uint32(ino))
		le.PutUint32(raw.data[4:], gen)
	case layoutXFS64:
		raw.kind, raw.bytes = typeXFS64, lenXFS64
		le.PutUint64(raw.data[0:], ino)
		le.PutUint32(raw.data[8:], gen)
	case layoutBtrfs:
		raw.kind, raw.bytes = typeBtrfs, lenBtrfs
		le.PutUint64(raw.data[0:], ino)
		le.PutUint64(raw.data[8:], h.root)
		le.PutUint32(raw.data[16:], gen)
	case layoutShmem:
		raw.kind, raw.bytes = typeShmem, lenShmem
		le.PutUint32(raw.data[0:], gen)
		le.PutUint32(raw.data[4:], uint32(ino))
		le.PutUint32(raw.data[8:], uint32(ino>>32))
	}
}

// nameToHandle reads the handle of the object that fd stands for.
func nameToHandle(fd int, raw *rawHandle) error {
	var empty [1]byte
	var mount int32
	raw.bytes = maxHandle
	_, _, errno := unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(raw)), uintptr(unsafe.Pointer(&mount)), unix.AT_EMPTY_PATH, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// openHandle opens an object by handle, on the file system of mount.
func openHandle(mount int, raw *rawHandle) (int, error) {
	for {
		fd, _, errno := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(mount), uintptr(unsafe.Pointer(raw)),
			unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW)
		switch errno {
		case 0:
			return int(fd), nil
		case syscall.EINTR:
			continue
		}
		return noFD, errno
	}
}

// Handles turns objects of one file system into number and generation and back.
// It is immutable after Probe and safe for concurrent use.
type Handles struct {
	layout layout
	mount  int    // real (not O_PATH) descriptor of the tree's root
	root   uint64 // btrfs: the subvolume
	find   finder
	reason string // why find is findNone
}

// Generation returns the generation of the object behind fd, whose inode number
// is ino. ESTALE when the handle is not of the probed form after all.
func (h *Handles) Generation(fd int, ino uint64) (uint32, error) {
	var raw rawHandle
	if err := nameToHandle(fd, &raw); err != nil {
		return 0, fmt.Errorf("file handle of inode %d: %w", ino, err)
	}
	l, n, gen := raw.decode()
	if l != h.layout || n != ino {
		return 0, fmt.Errorf("file handle of inode %d: type %#x with %d bytes: %w", ino, raw.kind, raw.bytes, unix.ESTALE)
	}
	return gen, nil
}

// Open returns a new O_PATH descriptor of the object with that number and
// generation; ESTALE when there is none.
func (h *Handles) Open(ino uint64, gen uint32) (int, error) {
	var raw rawHandle
	h.encode(&raw, ino, gen)
	fd, err := openHandle(h.mount, &raw)
	if err != nil {
		return noFD, fmt.Errorf("open inode %d generation %d by handle: %w", ino, gen, err)
	}
	return fd, nil
}
