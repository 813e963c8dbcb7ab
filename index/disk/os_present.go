package disk

import (
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What MADV_POPULATE_READ costs is a look at each page, one after the other, whether it is there: 12 to 30 µs for each MiB of small pages, where a core hashes 300 µs. The kernel maps
// what lies in the cache in steps of 64 KiB anyway (fault-around), so one page of each step is asked for, and then what the page tables say.

const (
	// mapsAround is what the kernel maps with one page (fault_around_bytes, of which this is the default), in bytes.
	mapsAround = 64 << 10
	// aroundMost is the most that around asks for, in bytes.
	aroundMost = 2 << 20
)

// pageScan is struct pm_scan_arg of PAGEMAP_SCAN (Documentation/admin-guide/mm/pagemap.rst, Linux 6.7).
type pageScan struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages, inverted, mask, anyOf, returned uint64
}

const (
	pageScanCall    = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	pageScanPresent = 1 << 3     // PAGE_IS_PRESENT
)

// nowhere is where the kernel says what it has found. It gets the address as a number, so this is memory that does not move; nobody reads it.
var nowhere [3]uint64

// pageMap is the descriptor of /proc/self/pagemap, -1 where there is none or where it does not tell; it stays open.
var pageMap = sync.OnceValue(func() *atomic.Int64 {
	var fd atomic.Int64
	if n, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		fd.Store(int64(n))
	} else {
		fd.Store(-1)
	}
	return &fd
})

// Present tells whether each page of p, which begins with one and is mapped by MapShared, is there now, so that touching it waits for nothing. False also where the kernel does not tell
// (before 6.7).
func Present(p []byte) bool {
	fd := pageMap()
	if fd.Load() < 0 || len(p) == 0 {
		return false
	}
	first := uint64(uintptr(unsafe.Pointer(&p[0])))
	s := pageScan{start: first, end: first + uint64(pagesOf(len(p))*os.Getpagesize())}
	s.size = uint64(unsafe.Sizeof(s))
	s.vec, s.vecLen = uint64(uintptr(unsafe.Pointer(&nowhere))), 1
	s.mask, s.inverted, s.returned = pageScanPresent, pageScanPresent, pageScanPresent // the first one that is not there
	found, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd.Load()), pageScanCall, uintptr(unsafe.Pointer(&s)))
	if errno == unix.ENOTTY || errno == unix.EPERM {
		fd.Store(-1) // before Linux 6.7: it will not, another time
	}
	return errno == 0 && found == 0
}

// self is a descriptor of this process, -1 where there is none, or where nothing can be done with it; it stays open.
var self = sync.OnceValue(func() *atomic.Int64 {
	var fd atomic.Int64
	if n, err := unix.PidfdOpen(os.Getpid(), 0); err == nil {
		fd.Store(int64(n))
	} else {
		fd.Store(-1)
	}
	return &fd
})

// around asks for one page of each step of p, in one call. It is advice: what came of it Present tells. A kernel before 6.13 does not take it.
func around(p []byte) {
	fd := self()
	if fd.Load() < 0 || len(p) > aroundMost {
		return
	}
	var list [aroundMost / mapsAround]unix.Iovec
	n := 0
	for at := 0; at < len(p); at += mapsAround {
		list[n].Base = &p[at]
		list[n].SetLen(min(os.Getpagesize(), len(p)-at))
		n++
	}
	_, _, errno := unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(fd.Load()), uintptr(unsafe.Pointer(&list[0])), uintptr(n), unix.MADV_POPULATE_READ, 0, 0)
	if errno == unix.EINVAL || errno == unix.ENOSYS || errno == unix.EPERM {
		fd.Store(-1) // it will not, another time
	}
}

func pagesOf(n int) int { return (n + os.Getpagesize() - 1) / os.Getpagesize() }
