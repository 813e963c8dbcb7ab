package crash

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// TestReclaimBesideAll reclaims again and again while files are written, overwritten, removed, renamed from where the walk comes late to where it
// comes early, linked, cloned, read, and held open without a name. In the end everything that exists is what was written, and what nobody
// refers to is free.
func TestReclaimBesideAll(t *testing.T) {
	limit := 4 * time.Second
	if long() {
		limit = 5 * time.Minute
	}
	n := seed(t)
	parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Hash: "SHA1", BlockSize: 4096, Size: 128 << 20, ReuseASAP: true}})
	m := mounttest.Volume(t, mounttest.Options{Parent: parent, List: "reclaim=0,verify=always"})
	c := newCrowd(t, func(error) bool { return false })
	w := &reclaimed{t: t, m: m}
	// The walk goes by name: a comes first, z last, and m keeps it busy in between.
	for _, dir := range []string{"a", "m", "z"} {
		if err := os.Mkdir(m.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		if err := os.WriteFile(m.Path("m", fmt.Sprint(i)), bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, 500), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		c.run("writer", (&scribbler{w: w, rnd: source(n, i), id: 10 + i}).step)
		c.run("mover", w.newMover(source(n, 10+i), 20+i).step)
	}
	c.run("cloner", w.newCloner(source(n, 20)).step)
	c.run("holder", (&holder{m: m, rnd: source(n, 30)}).step)
	var runs, refused int64
	var mu sync.Mutex
	for range 2 { // two at a time: one of them is refused
		c.run("reclaim", func() error {
			text, err := os.ReadFile(m.Path(format.SpecialName, "reclaim"))
			time.Sleep(time.Millisecond) // the one that is refused is not to be all the load there is
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, unix.EBUSY):
				refused++
				return nil
			case err != nil:
				return err
			case !bytes.Contains(text, []byte("node_deleted")):
				return fmt.Errorf("reclaim: have %q, want a report", text)
			}
			runs++
			return nil
		})
	}
	time.Sleep(limit)
	mounttest.Until(mounttest.CloseTime, func() bool { // a reclaim syncs, which takes its time on a busy disk
		mu.Lock()
		defer mu.Unlock()
		return runs >= 3 && refused > 0 || t.Failed()
	})
	c.stop()
	if err := w.finish(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	t.Logf("%d reclaims, %d refused, %d files left", runs, refused, len(w.files))
	if runs < 3 || refused == 0 {
		t.Errorf("have %d reclaims and %d refused, want several of both", runs, refused)
	}
	mu.Unlock()
	for _, h := range w.files {
		h.judge(t, true)
	}
	before := m.Reclaim()
	if again := m.Reclaim(); again["node_deleted"] != 0 || again["block_in_use"] != before["block_in_use"] {
		t.Errorf("a second reclaim at rest: have %v after %v", again, before)
	}
	if s := m.Stats(); s["block_allocated"] != before["block_in_use"] {
		t.Errorf("after a reclaim at rest: have %d blocks allocated, want the %d in use", s["block_allocated"], before["block_in_use"])
	}
	m = m.Remount("verify=always")
	for _, h := range w.files {
		h.path = m.Path(h.path[len(w.m.Point):])
		h.judge(t, true)
	}
}

// reclaimed is what the crowd leaves.
type reclaimed struct {
	t testing.TB
	m *mounttest.Mount

	mu    sync.Mutex // guards the fields below
	files []*history
	ends  []func() error
}

func (w *reclaimed) leave(h *history) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files = append(w.files, h)
}

func (w *reclaimed) atEnd(f func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, f)
}

func (w *reclaimed) finish() error {
	var errs []error
	w.mu.Lock()
	ends := w.ends
	w.mu.Unlock()
	for _, f := range ends {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// scribbler creates, writes, overwrites and removes.
type scribbler struct {
	w    *reclaimed
	rnd  *rand.Rand
	id   int
	now  *history
	f    *os.File
	made int
}

func (s *scribbler) step() error {
	if s.now == nil {
		dir := []string{"a", "z"}[s.rnd.IntN(2)]
		h := &history{path: s.w.m.Path(dir, fmt.Sprintf("w%d-%d", s.id, s.made)), id: s.id, version: s.made * 100}
		f, err := os.Create(h.path)
		if err != nil {
			return err
		}
		if s.made == 0 {
			s.w.atEnd(s.end)
		}
		s.made++
		s.now, s.f = h, f
	}
	h := s.now
	switch op := s.rnd.IntN(100); {
	case op < 60:
		return h.write(s.f, s.rnd.IntN(h.size+1), 1+s.rnd.IntN(20<<10/word))
	case op < 70:
		return h.sync(s.f)
	case op < 90:
		return (&load{rnd: s.rnd}).reread(h, s.f)
	case op < 95 || s.made > 400:
		s.now = nil
		return errors.Join(os.Remove(h.path), s.f.Close())
	}
	return s.end()
}

// end leaves the current file for the end of the test.
func (s *scribbler) end() error {
	if s.now == nil {
		return nil
	}
	s.w.leave(s.now)
	s.now = nil
	return s.f.Close()
}

// mover keeps some files of its own and moves them about, alone or with their directory.
type mover struct {
	w     *reclaimed
	rnd   *rand.Rand
	id    int
	files []*history
	dir   string // the directory that some are in
	moves int
}

func (w *reclaimed) newMover(rnd *rand.Rand, id int) *mover {
	v := &mover{w: w, rnd: rnd, id: id, dir: w.m.Path("z", fmt.Sprintf("d%d", id))}
	err := os.Mkdir(v.dir, 0o755)
	for i := range 8 {
		h := &history{path: w.m.Path("z", fmt.Sprintf("v%d-%d", id, i)), id: id*8 + i&0xFF}
		if i < 3 {
			h.path = filepath.Join(v.dir, filepath.Base(h.path))
		}
		f, e := os.Create(h.path)
		err = errors.Join(err, e)
		if e == nil {
			err = errors.Join(err, h.write(f, 0, 3000), f.Close())
		}
		w.leave(h)
		v.files = append(v.files, h)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// other is the same place in the directory that the walk visits first or last.
func (v *mover) other(path string) string {
	rest := path[len(v.w.m.Point):]
	if rest[1] == 'a' {
		return v.w.m.Point + "/z" + rest[2:]
	}
	return v.w.m.Point + "/a" + rest[2:]
}

func (v *mover) step() error {
	v.moves++
	i := v.rnd.IntN(len(v.files))
	h := v.files[i]
	switch op := v.rnd.IntN(100); {
	case op < 30: // the directory
		to := v.other(v.dir)
		if err := os.Rename(v.dir, to); err != nil {
			return err
		}
		for _, h := range v.files[:3] {
			h.path = filepath.Join(to, filepath.Base(h.path))
		}
		v.dir = to
		return nil
	case i < 3:
		return v.look(h)
	case op < 60:
		to := v.other(h.path)
		err := os.Rename(h.path, to)
		h.path = to
		return err
	case op < 80: // by a link
		to := v.other(h.path)
		if err := os.Link(h.path, to); err != nil {
			return err
		}
		old := h.path
		h.path = to
		return os.Remove(old)
	case op < 90: // against one of its own
		o := v.files[3+v.rnd.IntN(len(v.files)-3)]
		if o == h {
			return nil
		}
		err := unix.Renameat2(unix.AT_FDCWD, h.path, unix.AT_FDCWD, o.path, unix.RENAME_EXCHANGE)
		h.path, o.path = o.path, h.path
		return err
	}
	return v.look(h)
}

func (v *mover) look(h *history) error {
	f, err := os.Open(h.path)
	if err != nil {
		return err
	}
	return errors.Join((&load{rnd: v.rnd}).reread(h, f), f.Close())
}

// cloner copies one file over another, and then removes the first: the blocks live on under another name.
type cloner struct {
	w    *reclaimed
	rnd  *rand.Rand
	path string
	data []byte
	n    int
}

func (w *reclaimed) newCloner(rnd *rand.Rand) *cloner {
	c := &cloner{w: w, rnd: rnd, path: w.m.Path("z", "clone0"), data: make([]byte, 64<<10)}
	for i := range c.data {
		c.data[i] = byte(rnd.Uint32())
	}
	if err := os.WriteFile(c.path, c.data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (c *cloner) step() error {
	c.n++
	to := c.w.m.Path([]string{"a", "z"}[c.n%2], fmt.Sprintf("clone%d", c.n))
	src, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	for done := 0; done < len(c.data); {
		n, err := unix.CopyFileRange(int(src.Fd()), nil, int(dst.Fd()), nil, len(c.data)-done, 0)
		if err != nil || n == 0 {
			return fmt.Errorf("clone at %d: %d, %w", done, n, err)
		}
		done += n
	}
	if err := os.Remove(c.path); err != nil {
		return err
	}
	c.path = to
	if c.n%100 != 0 { // a read marks the blocks for the reclaim, and would hide a clone that does not
		return nil
	}
	have, err := os.ReadFile(to)
	if err == nil && !bytes.Equal(have, c.data) {
		err = fmt.Errorf("%s: %d bytes that are not what was cloned %d times", to, len(have), c.n)
	}
	return err
}

// holder keeps a file open that has no name any more, writes to it and reads it.
type holder struct {
	m    *mounttest.Mount
	rnd  *rand.Rand
	made int
}

func (o *holder) step() error {
	o.made++
	h := &history{path: o.m.Path("z", fmt.Sprintf("held%d", o.made)), id: 5}
	f, err := os.Create(h.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := errors.Join(h.write(f, 0, 4000), os.Remove(h.path)); err != nil {
		return err
	}
	for range 100 {
		if err := (&load{rnd: o.rnd}).reread(h, f); err != nil {
			return err
		}
		if err := h.write(f, o.rnd.IntN(4000), 300); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond) // to live through some reclaims
	}
	return nil
}
