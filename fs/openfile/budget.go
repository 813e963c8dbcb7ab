package openfile

import (
	"slices"
	"time"
)

// partial is how many bytes of block buffers a write of n bytes at off may need: one block for each end that lies within a block.
func (m *Manager) partial(off, n int64) int64 {
	bs := int64(m.geo.BlockSize)
	end := off + n
	var blocks int64
	if off%bs != 0 {
		blocks++
	}
	if end%bs != 0 && (off%bs == 0 || off/bs != end/bs) {
		blocks++
	}
	return blocks * bs
}

// overfull tells whether all block buffers together take more than they may.
func (m *Manager) overfull() bool { return m.buffered.Load() > m.limit }

// makeRoom submits the block buffers of the files that were not written to for longest, if need more bytes would not fit. It frees a
// quarter of the memory, so that the search for old ones is rare. The caller holds no lock at all: it waits for places in the pipeline
// and for stored blocks of other files. Files that somebody has to himself are left out, for what he does may take long. Only one
// writer does this at a time: the others go on and submit their own buffers where these are too much.
func (m *Manager) makeRoom(need int64) {
	if need == 0 || m.buffered.Load()+need <= m.limit || !m.makingRoom.CompareAndSwap(false, true) {
		return
	}
	defer m.makingRoom.Store(false)
	for _, b := range m.buffering() {
		if m.buffered.Load()+need > m.limit-m.limit/4 && b.f.shape.TryRLock() {
			err := b.f.submitRests() // kept for the handles of that file
			b.f.shape.RUnlock()
			if err != nil {
				m.log(err.Error())
			}
		}
		if err := b.f.Close(); err != nil {
			m.log(err.Error())
		}
	}
}

// buffering is a file that has block buffers.
type buffering struct {
	f     *File
	mtime time.Time
}

// buffering returns the files that have block buffers with one more reference each, those first that were not written to for longest.
func (m *Manager) buffering() []buffering {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []buffering
	for _, f := range m.files {
		f.mu.Lock()
		if len(f.rests) > 0 {
			f.refs++
			list = append(list, buffering{f, f.mtime})
		}
		f.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b buffering) int { return a.mtime.Compare(b.mtime) })
	return list
}
