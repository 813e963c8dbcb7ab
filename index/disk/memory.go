package disk

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// AllocOptions says how memory outside the Go heap is to be had.
type AllocOptions struct {
	// Lock keeps the memory from being swapped out. Failing to (RLIMIT_MEMLOCK)
	// is no failure of Alloc: Memory.LockError tells.
	Lock bool
	// HugePages asks for transparent huge pages. It is advice.
	HugePages bool
}

// Memory is zeroed memory outside the Go heap: the collector neither scans nor
// counts it. Copies of a Memory are the same memory.
type Memory struct {
	m *mapping
}

type mapping struct {
	bytes   []byte
	lockErr error
}

// smallMemory is how much is allocated without a look at what there is, in bytes.
const smallMemory = 64 << 20

// roomFor refuses what the machine does not have: the kernel would grant it and kill somebody when it is touched, and sizes
// come from files that may be damaged. A machine that does not tell what it has is trusted.
func roomFor(n int) error {
	if n < smallMemory {
		return nil
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil
	}
	have := available(string(text))
	if have == 0 || uint64(n) <= have {
		return nil
	}
	return fmt.Errorf("allocate memory: want %d bytes, the machine has %d available: %w", n, have, unix.ENOMEM)
}

// available takes the bytes of memory and swap space that are available out of the text of /proc/meminfo (proc(5), in kB); 0: not told.
func available(meminfo string) (bytes uint64) {
	for line := range strings.Lines(meminfo) {
		var kb uint64
		for _, name := range []string{"MemAvailable:", "SwapFree:"} {
			if value, ok := strings.CutPrefix(line, name); ok {
				if _, err := fmt.Sscanf(value, "%d kB", &kb); err == nil {
					bytes += kb << 10
				}
			}
		}
	}
	return bytes
}

// Alloc maps n bytes of anonymous memory. It costs physical memory only where
// it is touched, unless Lock is set. n may be 0.
func Alloc(n int, opts AllocOptions) (Memory, error) {
	m := &mapping{}
	switch {
	case n < 0:
		return Memory{}, fmt.Errorf("allocate %d bytes of memory: %w", n, unix.EINVAL)
	case n == 0:
		return Memory{m}, nil
	}
	if err := roomFor(n); err != nil {
		return Memory{}, err
	}
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return Memory{}, fmt.Errorf("allocate %d bytes of memory: %w", n, err)
	}
	m.bytes = b
	if opts.HugePages {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // advice: the memory is as good without
	}
	if opts.Lock {
		if err := retry(func() error { return unix.Mlock(b) }); err != nil {
			m.lockErr = fmt.Errorf("lock %d bytes of memory: %w", n, err)
		}
	}
	return Memory{m}, nil
}

// Bytes is the memory; nil after Close. A slice of it must not be used after
// Close: the addresses are gone and touching them ends the process.
func (m Memory) Bytes() []byte {
	if m.m == nil {
		return nil
	}
	return m.m.bytes
}

// LockError is why the memory could not be locked, nil if it is or need not be.
func (m Memory) LockError() error {
	if m.m == nil {
		return nil
	}
	return m.m.lockErr
}

// Close gives the memory back. Closing again does nothing. It must not run
// beside any other use.
func (m Memory) Close() error {
	if m.m == nil || m.m.bytes == nil {
		return nil
	}
	b := m.m.bytes
	m.m.bytes = nil
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("free %d bytes of memory: %w", len(b), err)
	}
	return nil
}
