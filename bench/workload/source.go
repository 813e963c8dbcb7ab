package workload

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Source is memory full of random bytes. A stamp makes other content of it at next to no cost: it stands in the first 8 bytes of every 4 KiB, so that
// blocks of different stamps, and of different places, differ.
type Source struct {
	data []byte
}

// NewSource allocates and fills so many bytes, a multiple of 4 KiB, in pages of their own.
func NewSource(size int64) (*Source, error) {
	data, err := pages(size)
	if err != nil {
		return nil, err
	}
	r := rand.NewChaCha8([32]byte{7})
	r.Read(data)
	return &Source{data: data}, nil
}

func (s *Source) close() error { return unix.Munmap(s.data) }

// Stamp returns the content with that number. It is that of an earlier number no more.
func (s *Source) Stamp(n uint64) []byte {
	for off := 0; off < len(s.data); off += 4096 {
		binary.LittleEndian.PutUint64(s.data[off:], n<<32|uint64(off>>12)+1)
	}
	return s.data
}

// pages returns memory that direct I/O accepts.
func pages(size int64) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of memory: %w", size, err)
	}
	return m, nil
}

// LastLevelCache is the size in bytes of the largest cache of the first processor, 0 if the kernel does not tell.
func LastLevelCache() (size int64) {
	list, err := filepath.Glob("/sys/devices/system/cpu/cpu0/cache/index*/size")
	if err != nil {
		return 0
	}
	for _, name := range list {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		word := strings.TrimSpace(string(text))
		unit := int64(1)
		switch {
		case strings.HasSuffix(word, "K"):
			unit = 1 << 10
		case strings.HasSuffix(word, "M"):
			unit = 1 << 20
		}
		if n, err := strconv.ParseInt(strings.TrimRight(word, "KM"), 10, 64); err == nil {
			size = max(size, n*unit)
		}
	}
	return size
}
