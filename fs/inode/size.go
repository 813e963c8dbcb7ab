package inode

import "sync"

// Stamp identifies one state of an underlying file: any change of its content
// changes one of them, or is announced by SizeCache.Invalidate.
type Stamp struct {
	Sec, Nsec int64 // change time
	Length    int64 // bytes
}

// SizeCache remembers the logical size found in the header of an underlying
// file. The zero value is empty. Safe for concurrent use.
//
// A change time alone is too coarse on older kernels: two writes may share one
// tick. So every closing of a writable file invalidates, and a reader offers
// its result together with the version it saw before it looked.
type SizeCache struct {
	mu      sync.Mutex // leaf lock, no I/O under it
	version uint64
	valid   bool
	stamp   Stamp
	size    int64
}

// Get returns the size remembered for that state of the file. version is to be
// handed to Put after a miss.
func (c *SizeCache) Get(s Stamp) (size int64, ok bool, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size, c.valid && c.stamp == s, c.version
}

// Put remembers size, unless the file was invalidated since version was read.
func (c *SizeCache) Put(s Stamp, size int64, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version == version {
		c.valid, c.stamp, c.size = true, s, size
	}
}

// Invalidate forgets the size; sizes read before it are not accepted any more.
func (c *SizeCache) Invalidate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.valid = false
}
