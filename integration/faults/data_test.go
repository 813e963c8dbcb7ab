package faults

import "slices"

// dataOperations are those of a mounted volume. Each may be run again on what a failure left, and comes to the same end.
func dataOperations() []operation {
	return slices.Concat(writeOperations(), shapeOperations(), upkeepOperations())
}

func writeOperations() []operation {
	return []operation{
		{name: "mount", start: furnish, run: mountAndLook},
		{name: "mount after a kill", start: furnish, spoil: killed, run: mountAndLook},
		{name: "unmount", start: furnish, open: true, run: func(l *life) {
			l.write("new", 0, l.data(20, 3*l.v.bs+5))
			l.fsync("new")
			l.unmount()
		}},
		{name: "write new blocks", start: furnish, open: true, run: func(l *life) {
			l.write("new", 0, l.data(30, 6*l.v.bs))
			l.write("big", 2*l.v.bs, l.data(31, 4*l.v.bs))
			l.look("new")
		}},
		{name: "write known blocks", start: furnish, open: true, run: func(l *life) {
			l.write("same", 0, l.data(1, 8*l.v.bs))
			l.write("other", l.v.bs, l.data(1, 4*l.v.bs))
			l.write("zeros", 0, make([]byte, 5*l.v.bs))
		}},
		{name: "write parts of blocks", start: furnish, open: true, run: func(l *life) {
			for i := range 5 {
				l.write("big", i*l.v.bs/2+l.v.bs/3, l.data(40+i, l.v.bs/3))
			}
			l.write("tail", 0, l.data(50, l.v.bs+17))
			l.write("tail", l.v.bs+17, l.data(51, 11))
			l.write("far", 3*l.v.bs+9, l.data(52, 100))
			l.look("big")
		}},
		{name: "fsync", start: furnish, open: true, run: func(l *life) {
			l.write("new", 0, l.data(60, 3*l.v.bs+1))
			l.fsync("new")
			l.write("new", l.v.bs/2, l.data(61, 2*l.v.bs))
			l.write("big", 0, l.data(62, 2*l.v.bs))
			l.fsync("big")
			l.fsync("new")
			l.write("big", 100, l.data(63, 50))
			l.fsync("big")
		}},
		{name: "close", start: furnish, open: true, run: func(l *life) {
			l.write("new", 0, l.data(70, 2*l.v.bs+100))
			l.closeFile("new")
			l.write("new", l.v.bs, l.data(71, 10))
			l.closeFile("new")
			l.write("big", 3, l.data(72, 10))
			l.closeFile("big")
		}},
	}
}

// shapeOperations change files otherwise than by writing.
func shapeOperations() []operation {
	return []operation{
		{name: "truncate", start: furnish, open: true, run: func(l *life) {
			l.truncate("big", 5*l.v.bs+7)
			l.fsync("big")
			l.truncate("big", 3*l.v.bs)
			l.truncate("other", 9*l.v.bs+1)
			l.truncate("small", 0)
			l.write("small", 10, l.data(80, 30))
			l.fsync("other")
		}},
		{name: "punch a hole", start: furnish, open: true, run: func(l *life) {
			l.punch("big", l.v.bs/2, 3*l.v.bs)
			l.punch("other", 0, l.v.bs)
			l.fsync("big")
			l.punch("big", 4*l.v.bs, 10*l.v.bs)
			l.look("big")
		}},
		{name: "clone a range", start: furnish, open: true, run: func(l *life) {
			l.clone("big", "copy", 0, 0, 8*l.v.bs)
			l.fsync("copy")
			l.clone("big", "other", 2*l.v.bs, l.v.bs, 3*l.v.bs)
			l.look("other")
		}},
		{name: "remove", start: furnish, open: true, run: func(l *life) {
			l.remove("big")
			l.write("new", 0, l.data(90, 2*l.v.bs))
			l.remove("small")
			l.fsync("new")
			l.write("short", 0, l.data(91, l.v.bs))
			l.remove("short")
		}},
	}
}

// upkeepOperations are about the volume as a whole.
func upkeepOperations() []operation {
	return []operation{
		{name: "reclaim", start: furnish, open: true, run: func(l *life) {
			l.remove("big")
			l.remove("twin")
			l.reclaim()
			l.write("reuse", 0, l.data(100, 10*l.v.bs))
			l.fsync("reuse")
			l.write("other", 0, l.data(101, 2*l.v.bs))
			l.reclaim()
			l.look("other")
			l.look("reuse")
		}},
		{name: "checkpoint", start: furnish, open: true, run: func(l *life) {
			l.write("new", 0, l.data(110, 5*l.v.bs))
			l.step(l.m.FlushAll)
			l.checkpoint()
			l.write("more", 0, l.data(111, 3*l.v.bs))
			l.fsync("more")
			l.checkpoint()
		}},
		{name: "come to rest", start: furnish, open: true, run: func(l *life) {
			l.write("new", 0, l.data(120, 3*l.v.bs))
			l.rest()
			l.write("big", l.v.bs, l.data(121, l.v.bs))
			l.fsync("big")
			l.rest()
			l.truncate("other", 5)
		}},
		{name: "a full volume", start: nearlyFull, open: true, run: func(l *life) {
			l.write("new", 0, l.data(130, 2*l.v.bs))
			l.fsync("new")
			l.remove("fill")
			l.reclaim()
			l.write("more", 0, l.data(131, 20*l.v.bs))
			l.fsync("more")
		}},
		{name: "a life", start: furnish, open: true, loose: true, uneven: true, run: someLife},
	}
}

// furnish makes the files that operations start from: one with a twin, so that blocks are shared, some parts of blocks, some zeros.
func furnish(l *life) {
	l.write("big", 0, l.data(1, 10*l.v.bs+33))
	l.write("twin", 0, l.data(1, 6*l.v.bs))
	l.write("other", 0, l.data(2, 6*l.v.bs))
	l.write("other", 3*l.v.bs, make([]byte, l.v.bs))
	l.write("small", 0, l.data(3, 40))
	l.write("gone", 0, l.data(4, 5*l.v.bs))
	for _, name := range []string{"big", "twin", "other", "small", "gone"} {
		l.fsync(name)
	}
	l.remove("gone")
	delete(l.files, "gone")
}

func nearlyFull(l *life) {
	furnish(l)
	l.write("fill", 0, l.data(5, (l.v.blocks-30)*l.v.bs))
	l.fsync("fill")
}

// killed leaves the volume as a killed daemon does, with synced blocks that no checkpoint has seen and a file that was cut.
func killed(l *life) {
	l.step(l.mount)
	l.write("late", 0, l.data(10, 4*l.v.bs+9))
	l.write("other", l.v.bs, l.data(11, l.v.bs))
	l.truncate("big", 9*l.v.bs)
	for _, name := range []string{"late", "other", "big"} {
		l.fsync(name)
	}
	l.kill()
}

func mountAndLook(l *life) {
	l.step(l.mount)
	if l.vol == nil {
		return
	}
	for _, name := range []string{"big", "twin", "other", "small"} {
		l.look(name)
	}
	l.write("after", 0, l.data(12, 2*l.v.bs))
	l.fsync("after")
}

func (l *life) checkpoint() { l.step(func() error { return l.vol.Checkpoint() }) }

func (l *life) rest() {
	l.step(func() error {
		done, err := l.vol.Quiesce(0, l.m.FlushAll)
		if done && l.calm {
			for _, s := range l.files {
				s.keep(len(s.versions)-1, l.ops())
			}
		}
		return err
	})
}

// closeFile closes a file as close(2) does, and opens it again at the next use.
func (l *life) closeFile(name string) {
	l.step(func() error {
		h := l.handles[name]
		delete(l.handles, name)
		if err := h.Flush(); err != nil {
			return err
		}
		return h.Close()
	})
}

// someLife is a random mix of everything; the seed of the variant decides.
func someLife(l *life) {
	names := []string{"big", "twin", "other", "small", "a", "b", "c"}
	for range 25 {
		name := names[l.rnd.IntN(len(names))]
		at, n := l.rnd.IntN(6*l.v.bs), 1+l.rnd.IntN(4*l.v.bs)
		switch op := l.rnd.IntN(100); {
		case op < 40:
			l.write(name, at, l.data(200+l.rnd.IntN(50), n))
		case op < 60:
			l.fsync(name)
		case op < 66:
			l.truncate(name, at)
		case op < 72:
			l.punch(name, at, n)
		case op < 78:
			l.closeAndRemove(name)
		case op < 84:
			l.reclaim()
		case op < 89:
			l.checkpoint()
		case op < 93:
			l.rest()
		default:
			l.look(name)
		}
	}
}

func (l *life) closeAndRemove(name string) {
	if s := l.files[name]; s != nil && s.now() != nil {
		l.remove(name)
	}
}
