package disk

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MapShared shows [off, off+n) of an open file as memory that can be read, without a copy; off is a multiple of the page size. Others may change
// what is there at any moment; where the file is cut, or its disk fails, reading the memory is a fault (SIGBUS), for which whoever reads
// it is prepared. ErrUnsupported for a file that cannot be mapped (method MapShared). Unmap ends it; the file may be closed before.
func MapShared(f File, off int64, n int) ([]byte, error) {
	if m, ok := f.(interface {
		MapShared(off int64, n int) ([]byte, error)
	}); ok {
		return m.MapShared(off, n)
	}
	return nil, ErrUnsupported
}

// MapShared is what the function MapShared calls.
func (f *osFile) MapShared(off int64, n int) (p []byte, err error) {
	err = f.do("map", off, func(fd int) error {
		p, err = unix.Mmap(fd, off, n, unix.PROT_READ, unix.MAP_SHARED)
		return err
	})
	return p, err
}

// Populate waits until what MapShared shows is in memory. It waits in a call, so that a disk that never answers holds the calling goroutine alone:
// whoever touches memory that is not there holds a processor of the runtime, and with it soon the whole process. An error, also of a kernel
// before 5.14, which cannot do it, means that the memory is not to be touched. p begins with a page.
func Populate(p []byte) error {
	if len(p) == 0 || Present(p) {
		return nil
	}
	first := p[:min(os.Getpagesize(), len(p))] // it is all, where the kernel has a huge page
	if err := populate(first); err != nil || Present(p) {
		return err
	}
	if around(p); Present(p) {
		return nil
	}
	return populate(p)
}

func populate(p []byte) error {
	return fail("populate", "memory", -1, retry(func() error { return unix.Madvise(p, unix.MADV_POPULATE_READ) }))
}

// Unmap ends what MapShared returned.
func Unmap(p []byte) error { return fail("unmap", "memory", -1, unix.Munmap(p)) }

// Resident tells whether all of what MapShared shows is in memory now, at most residentMost bytes of it. It is a guess for whoever could also wait: it may be gone in the next moment.
func Resident(p []byte) (bool, error) {
	page := os.Getpagesize()
	var vec [residentMost / 4096]byte
	n := (len(p) + page - 1) / page
	if len(p) == 0 || n > len(vec) {
		return false, fail("look into the page cache", "memory", -1, unix.EINVAL)
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), uintptr(unsafe.Pointer(&vec[0])))
		if errno == 0 {
			break
		}
		if errno != unix.EAGAIN {
			return false, fail("look into the page cache", "memory", -1, errno)
		}
	}
	for _, v := range vec[:n] {
		if v&1 == 0 {
			return false, nil
		}
	}
	return true, nil
}

// residentMost is the most that Resident looks at, in bytes.
const residentMost = 4 << 20

// Forget gives back what Populate took in this process: the memory counts as its own no longer, and comes back when it is touched.
func Forget(p []byte) error { return fail("forget", "memory", -1, unix.Madvise(p, unix.MADV_DONTNEED)) }
