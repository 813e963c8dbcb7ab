package node

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"tresor/index/disk"
)

const (
	// keptLeast is the size of READs that get memory of ours, in bytes: what is read past the page cache is as large.
	keptLeast = 256 << 10
	// keptBuffers bounds that memory, of maxRequest bytes each. Requests beyond that have the library's.
	keptBuffers = 16
	// hugePage is the size, and the alignment, of a huge page, in bytes.
	hugePage = 2 << 20
)

// keptPool has the memory in which long reads of cached handles find what comes from the disk. It lies in huge pages: to the disk 1 MiB is one piece of memory then, not 256. Disks take
// only so many pieces at a time (virtio 254, SATA 168), so that with pages of 4 KiB a request fills their queue and the next one waits behind it.
type keptPool struct {
	// mu guards free. No lock is taken under it, and no system call made.
	mu     sync.Mutex
	free   []*kept // what was used last is used next: no more is touched than is needed
	memory disk.Memory
}

// open reserves the addresses; memory is what is touched.
func (p *keptPool) open() error {
	m, err := disk.Alloc(keptBuffers*maxRequest+hugePage, disk.AllocOptions{HugePages: true})
	if err != nil {
		return fmt.Errorf("memory for reads: %w", err)
	}
	p.memory = m
	b := m.Bytes()
	b = b[-uintptr(unsafe.Pointer(&b[0]))%hugePage:]
	for buf := range slices.Chunk(b[:keptBuffers*maxRequest], maxRequest) {
		p.free = append(p.free, &kept{pool: p, buf: buf})
	}
	slices.Reverse(p.free) // neighbours share a huge page
	return nil
}

// get returns memory for a request, nil if all is in use.
func (p *keptPool) get() *kept {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	if last < 0 {
		return nil
	}
	k := p.free[last]
	p.free = p.free[:last]
	return k
}

func (p *keptPool) put(k *kept) {
	p.mu.Lock()
	p.free = append(p.free, k)
	p.mu.Unlock()
}

// close gives the memory back; no request may be on its way.
func (p *keptPool) close() error { return p.memory.Close() }

// kept is content in memory of the pool.
type kept struct {
	pool *keptPool
	buf  []byte // maxRequest bytes
	part [1][]byte
}

func (k *kept) Slices() [][]byte { return k.part[:] }

func (k *kept) Size() int { return len(k.part[0]) }

func (k *kept) Release() { k.pool.put(k) }

// readKept reads into memory of the pool; nil, nil if there is none for this request.
func (fs *FS) readKept(h Handle, n int, off int64) (*kept, error) {
	if n < keptLeast || n > maxRequest {
		return nil, nil
	}
	k := fs.kept.get()
	if k == nil {
		return nil, nil
	}
	n, err := h.ReadKept(k.buf[:n], off)
	if err != nil {
		k.Release()
		return nil, err
	}
	k.part[0] = k.buf[:n]
	return k, nil
}
