package orchestrator

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Memory is bytes that another process can be shown without copying them: what a Store puts. It is an anonymous file that can get neither shorter nor
// longer. It is not safe for concurrent changes; who shows it to others does not change what they look at.
type Memory struct {
	f *os.File
	b []byte
}

// NewMemory returns n bytes of zeros, n at least 1.
func NewMemory(n int) (*Memory, error) {
	fd, err := unix.MemfdCreate("tresor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memory of %d bytes: %w", n, err)
	}
	m := &Memory{f: os.NewFile(uintptr(fd), "memory")}
	if err = unix.Ftruncate(fd, int64(n)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
	}
	if err == nil {
		m.b, err = unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memory of %d bytes: %w", n, err), m.f.Close())
	}
	return m, nil
}

// Bytes are its content, valid until Close.
func (m *Memory) Bytes() []byte { return m.b }

// File is what can be handed to another process.
func (m *Memory) File() *os.File { return m.f }

// Close gives it back. A process that was shown it keeps what it has.
func (m *Memory) Close() error {
	b := m.b
	m.b = nil
	return errors.Join(unix.Munmap(b), m.f.Close())
}
