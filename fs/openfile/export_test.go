package openfile

// Buffered adds up the block buffers of all open files, in bytes.
func (m *Manager) Buffered() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int64
	for _, f := range m.files {
		f.mu.Lock()
		for _, r := range f.rests {
			n += r.cost
		}
		f.mu.Unlock()
	}
	return n
}

// Counted is what the manager believes Buffered to be.
func (m *Manager) Counted() int64 { return m.buffered.Load() }

// Buffers is the number of block buffers of the file.
func (f *File) Buffers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rests)
}

// SetMakingRoom makes writers believe that another one makes room already.
func (m *Manager) SetMakingRoom(yes bool) { m.makingRoom.Store(yes) }

// Fixes reads and tells how many entries the read wants to correct, without doing so.
func Fixes(f *File, p []byte, off int64) int {
	s := f.m.readState()
	defer f.m.putReadState(s)
	f.shape.RLock()
	defer f.shape.RUnlock()
	_, _ = f.readShaped(s, p, off)
	return len(s.fixes)
}

// AheadBuffers is how many buffers there are to read ahead.
const AheadBuffers = aheadBuffers

// SpareAhead is how many of them nobody has.
func (m *Manager) SpareAhead() int { return len(m.aheads) }

// Parts is how many pieces the block buffer of a block has, 0 if there is none.
func (f *File) Parts(block uint64) int {
	f.mu.Lock()
	r := f.rests[block]
	f.mu.Unlock()
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.parts)
}

// Listed is how many block buffers the file keeps for submission that are no block buffers any more, and still have their memory.
func (f *File) Listed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.fullest {
		if f.rests[r.block] != r && r.frames != nil {
			n++
		}
	}
	return n
}

// LendAlways has every writer of enough whole blocks store them himself, as if all workers were busy. It comes before the first write.
func (m *Manager) LendAlways() { m.crew = 0 }

// Use is what a read or write of the file that takes long does to others; the result ends it.
func (f *File) Use() (end func()) {
	f.shape.RLock()
	return f.shape.RUnlock
}

// OnLend calls fn when a writer stores his data himself and there is no such chunk at rest.
func (m *Manager) OnLend(fn func()) { m.lent.New = func() any { fn(); return nil } }

// References adds up those to all open files.
func (m *Manager) References() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, f := range m.files {
		n += f.refs
	}
	return n
}
