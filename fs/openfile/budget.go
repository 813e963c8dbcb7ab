package openfile

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// partial is how many bytes of block buffers a write of n bytes at off may need: memory for each end that lies within a block.
func (m *Manager) partial(off, n int64) int64 {
	bs, frame := int64(m.geo.BlockSize), int64(m.frame)
	head := min(n, (bs-off%bs)%bs) // up to the first boundary
	tail := (n - head) % bs
	var need int64
	for _, part := range [2]int64{head, tail} {
		if part > 0 {
			need += m.restCost() + (part+2*frame-2)/frame*frame
		}
	}
	return need
}

// restCost is what a block buffer is counted with beside its frames, in bytes.
func (m *Manager) restCost() int64 { return 256 + 8*int64(m.geo.BlockSize/m.frame) }

// overfull tells whether all block buffers together take more than they may.
func (m *Manager) overfull() bool { return m.buffered.Load() > m.limit }

// share is how much a file may take for block buffers that has most of them: a little less than all, so that the others find room.
func (m *Manager) share() int64 { return m.limit - m.limit/8 }

// shed submits block buffers of the file if they are too much, the fullest first. So those stay that will gather more, and with writes all
// over a file a block that is submitted has twice as many of them as the average. shape is held.
func (f *File) shed() error {
	var errs []error
	for f.tooMuch() {
		r := f.takeFullest()
		if r == nil {
			break
		}
		errs = append(errs, f.submitIfHeld(r, false))
	}
	return errors.Join(errs...)
}

// tooMuch tells whether the file has to submit block buffers: it has most of them and exceeds its share, or all together are too many.
func (f *File) tooMuch() bool {
	all := f.m.buffered.Load()
	if all <= f.m.share() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return all > f.m.limit || 2*f.buffered > all
}

// atOnce is how many block buffers one search for the fullest finds.
const atOnce = 128

// takeFullest returns one of the fullest block buffers, which may have been submitted meanwhile; nil if there is none.
func (f *File) takeFullest() *rest {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.fullest) == 0 {
		f.findFullestLocked()
	}
	last := len(f.fullest) - 1
	if last < 0 {
		return nil
	}
	r := f.fullest[last]
	f.fullest[last] = nil
	f.fullest = f.fullest[:last]
	return r
}

// findFullestLocked fills the list of the fullest. It counts before it collects, which is faster than to sort thousands. mu is held.
func (f *File) findFullestLocked() {
	frame, empty := int64(f.m.frame), f.m.restCost()
	count := make([]int, f.geo.BlockSize/f.m.frame+1)
	for _, r := range f.rests {
		count[(r.cost-empty)/frame]++
	}
	least, n := len(count), 0
	for least > 0 && n < atOnce {
		least--
		n += count[least]
	}
	for _, r := range f.rests {
		if len(f.fullest) < atOnce && (r.cost-empty)/frame >= int64(least) {
			f.fullest = append(f.fullest, r)
		}
	}
	slices.SortFunc(f.fullest, func(a, b *rest) int { return cmp.Compare(a.cost, b.cost) }) // taken from the end
}

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
			err := b.f.submitRests(time.Time{}) // kept for the handles of that file
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

// flushOlder flushes the file if it was last written to more than age ago, else submits the block buffers that were begun before that.
func (f *File) flushOlder(age time.Duration) error {
	before := time.Now().Add(-age)
	f.mu.Lock()
	// A flush may have stored the time of a write that came beside it, and whose block buffer it did not see.
	dirty, quiet := f.timeDirty || len(f.rests) > 0, f.mtime.Before(before)
	f.mu.Unlock()
	switch {
	case !dirty:
		return nil
	case quiet:
		return f.flush()
	}
	f.shape.RLock()
	defer f.shape.RUnlock()
	return f.submitRests(before)
}
