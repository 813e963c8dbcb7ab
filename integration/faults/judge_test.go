package faults

import (
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
)

// never is later than every change of the disk.
const never = math.MaxInt

// outcome is a disk on which something went wrong.
type outcome struct {
	files map[string]*story
	k     int               // changes that were made
	how   disktest.Unsynced // what became of those that were not synced; Keep where only a call failed
	twice bool              // a recovery was begun and interrupted
	lost  int               // blocks that are an error, and may be: something was written to them that no sync covered
	exact bool              // nothing was reported: every file must be the newest
}

// compare reads all files of a mounted volume and fails the test for each that is not what it may be.
func (o *outcome) compare(l *life, what string) {
	l.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(o.files)) {
		allowed := o.files[name].allowed(o.k)
		if o.exact {
			allowed = allowed[len(allowed)-1:]
		}
		o.compareFile(l, what, name, allowed)
	}
}

func (o *outcome) compareFile(l *life, what, name string, allowed [][]byte) {
	l.t.Helper()
	absent := slices.ContainsFunc(allowed, func(p []byte) bool { return p == nil })
	if !l.exists(name) {
		// A file that was changed and not synced since may come without its header, and is set aside with what it names.
		_, err := l.d.Lstat(filepath.Join(volumeDir, format.QuarantineName, name))
		aside := err == nil && len(allowed) > 1 && !o.exact
		if !absent && !aside {
			l.t.Errorf("%s: %s is gone", what, name)
		}
		return
	}
	contents := slices.DeleteFunc(slices.Clone(allowed), func(p []byte) bool { return p == nil })
	if len(contents) == 0 {
		l.t.Errorf("%s: %s is there, and was removed", what, name)
		return
	}
	h, err := l.open(name)
	if err != nil {
		if !absent || o.how == disktest.Keep { // a file that was never synced may be without a header
			l.t.Errorf("%s: open %s: %v", what, name, err)
		}
		return
	}
	size, least := int(h.File().Size()), len(contents[0])
	for _, p := range contents {
		least = min(least, len(p))
	}
	if size < least {
		if !absent || o.how == disktest.Keep {
			l.t.Errorf("%s: %s: have %d bytes, want at least %d", what, name, size, least)
		}
		return
	}
	p := make([]byte, l.v.bs)
	for at := 0; at < size; at += l.v.bs {
		end := min(size, at+l.v.bs)
		n, err := h.ReadAt(p[:end-at], int64(at))
		switch {
		case err == nil && n == end-at:
			if i := differs(p[:n], contents, at, least); i >= 0 {
				l.t.Errorf("%s: %s: byte %d of %d is %#x, which nobody wrote there", what, name, at+i, size, p[i])
				return
			}
		case o.exact || o.how == disktest.Keep && o.k < never || !disputed(allowed, at, at+l.v.bs):
			l.t.Errorf("%s: %s: %d bytes at %d of %d: %v", what, name, n, at, size, err)
			return
		default:
			o.lost++
		}
	}
}

// differs is the first byte that is in none of the contents at that offset, -1 if there is none.
func differs(have []byte, contents [][]byte, at, least int) int {
	for i, b := range have {
		ok := at+i >= least && b == 0
		for _, p := range contents {
			ok = ok || at+i < len(p) && p[at+i] == b
		}
		if !ok {
			return i
		}
	}
	return -1
}

// disputed tells whether the contents are not all the same in a block: only there a power cut may have taken something away.
func disputed(allowed [][]byte, from, to int) bool {
	for _, p := range allowed {
		if p == nil || span(p, from, to) != span(allowed[0], from, to) {
			return true
		}
	}
	return false
}

// settle takes what the files of a mounted volume are now for their story, so that the life can go on with them. A file that a power cut left as it
// never was is restored as it was before the operation, as its owner would do.
func (l *life) settle(o *outcome, before map[string]*story) {
	l.files = map[string]*story{}
	for _, name := range slices.Sorted(maps.Keys(o.files)) {
		l.files[name] = &story{versions: []version{{}}}
		if !l.exists(name) {
			continue
		}
		p, err := l.read(name)
		whole := slices.ContainsFunc(o.files[name].allowed(o.k), func(q []byte) bool { return q != nil && string(p) == string(q) })
		if err == nil && (whole || o.how == disktest.Keep) {
			l.files[name].versions[0].data = p
			continue
		}
		if h := l.handles[name]; h != nil {
			delete(l.handles, name)
			_ = h.Close() // it is thrown away
		}
		l.told(l.d.Remove(path(name)))
		if s := before[name]; s != nil {
			l.write(name, 0, s.now())
			l.fsync(name)
		}
	}
}

// read is the whole content of a file.
func (l *life) read(name string) ([]byte, error) {
	h, err := l.open(name)
	if err != nil {
		return nil, err
	}
	p := make([]byte, h.File().Size())
	n, err := h.ReadAt(p, 0)
	if err == nil && n < len(p) {
		err = io.ErrUnexpectedEOF
	}
	return p, err
}

// status checks the closed volume, every block hashed.
func (l *life) status(what string, want ...fsck.Status) *fsck.Summary {
	l.t.Helper()
	sum := indextest.AssertStatus(l.t, l.d, volumeDir, want...)
	if !slices.Contains(want, sum.Status()) {
		l.t.Errorf("%s: the volume is not clean", what)
	}
	return sum
}

// finals are the contents that an undisturbed run leaves.
func finals(files map[string]*story) map[string]string {
	all := map[string]string{}
	for name, s := range files {
		if p := s.now(); p != nil {
			all[name] = string(p)
		}
	}
	return all
}

// assertFinal compares the files of the closed volume, read without the engine, with what an undisturbed run leaves.
func (l *life) assertFinal(what string, want map[string]string) {
	l.t.Helper()
	v := indextest.Describe(l.t, l.d, volumeDir)
	names := v.Files()
	if !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(maps.Keys(want))) {
		l.t.Errorf("%s: have files %q, want %q", what, names, slices.Sorted(maps.Keys(want)))
	}
	for _, name := range names {
		p, err := v.ReadFile(name)
		if text, ok := want[name]; ok && (err != nil || string(p) != text) {
			l.t.Errorf("%s: %s is not what an undisturbed run leaves: %d bytes, want %d: %v", what, name, len(p), len(text), err)
		}
	}
}

// tidy reclaims and closes, and returns how many blocks are in use.
func (l *life) tidy(what string) (used uint64) {
	l.t.Helper()
	l.reclaim()
	l.unmount()
	if l.err != nil {
		l.t.Errorf("%s: reclaim and unmount: %v", what, l.err)
		return 0
	}
	sum := l.status(what, fsck.OK, fsck.Lost)
	if sum.IndexNotFiles+sum.BlocksNotFiles > 0 {
		l.t.Errorf("%s: %d entries and %d blocks are not in files after a reclaim", what, sum.IndexNotFiles, sum.BlocksNotFiles)
	}
	return sum.Used
}
