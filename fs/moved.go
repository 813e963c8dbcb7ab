package fs

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/recipe"
)

// leastMoved and mostMoved bound how many moved objects are kept for a reclaim at once: each takes a descriptor, and users need theirs, so it is a
// quarter of what the process may have.
const (
	leastMoved = 1024
	mostMoved  = 64 << 10
)

func movedLimit() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return leastMoved
	}
	return int(min(max(limit.Cur/4, leastMoved), mostMoved))
}

// movedFiles collects what gets a new place while a reclaim walks: the walk may have passed that place already and not have reached the old one.
// What is collected is shown to the reclaim beside the walk, so that it does not pile up.
type movedFiles struct {
	// mu guards the fields. No I/O under it but the fstat of an open object.
	mu      sync.Mutex
	running bool
	limit   int
	kept    map[objectID]int      // O_PATH descriptors of our own, which keep the numbers from being used again
	shown   map[objectID]struct{} // what was shown: whatever has that number from now on holds only what the reclaim knows
	more    chan struct{}         // has a value when something was added
	dropped error                 // something could not be noted: nothing is kept any more, and the reclaim must not free anything
}

type objectID struct{ dev, ino uint64 }

// start begins to collect; false: a reclaim does already, and what it has collected is left alone.
func (l *movedFiles) start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return false
	}
	l.running, l.dropped, l.limit = true, nil, movedLimit()
	l.kept, l.shown, l.more = make(map[objectID]int), make(map[objectID]struct{}), make(chan struct{}, 1)
	return true
}

func (l *movedFiles) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = false
	l.releaseLocked()
	l.shown = nil
}

func (l *movedFiles) releaseLocked() {
	for _, fd := range l.kept {
		unix.Close(fd)
	}
	l.kept = nil
}

// Begin implements node.Mover: the reclaim waits for moves in flight before it walks.
func (s *statSource) Begin() (end func()) {
	t := s.m.vol.Enter()
	return func() { s.m.vol.Leave(t) }
}

// Moved implements node.Mover: fd stays the caller's. Directories are walked like files are read, later.
// It never fails: what cannot be noted costs the reclaim, not the user.
func (s *statSource) Moved(fd int, _ bool) error {
	l := &s.moved
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running || l.dropped != nil {
		return nil
	}
	if err := l.keepLocked(fd); err != nil {
		l.dropped = fmt.Errorf("note what was moved during the reclaim: %w", err)
		l.releaseLocked()
	}
	return nil
}

func (l *movedFiles) keepLocked(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	id := objectID{st.Dev, st.Ino}
	if _, ok := l.kept[id]; ok {
		return nil
	}
	if _, ok := l.shown[id]; ok {
		return nil
	}
	if len(l.kept) >= l.limit {
		return fmt.Errorf("more than %d files and directories were moved faster than they could be read", l.limit)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.kept[id] = own
	select {
	case l.more <- struct{}{}:
	default:
	}
	return nil
}

// take hands out one object that was kept.
func (l *movedFiles) take() (id objectID, fd int, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped != nil {
		return id, 0, false, l.dropped
	}
	for id, fd = range l.kept {
		delete(l.kept, id)
		return id, fd, true, nil
	}
	return id, 0, false, nil
}

// show notes that an object was shown. Whoever gets its number after it, and whatever enters it if it is a directory, was made during the reclaim,
// whose blocks the engine marks, or was moved itself.
func (l *movedFiles) show(id objectID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running && len(l.shown) < mostShown {
		l.shown[id] = struct{}{}
	}
}

// mostShown bounds the memory of what was shown; what does not fit is shown again when it is moved again.
const mostShown = 1 << 20

// beside shows what moves while the walk is on its way.
func (l *movedFiles) beside(ctx context.Context, see func(name string, f disk.File) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil // what is left is drained after the walk
		case <-l.more:
			if err := l.drain(see); err != nil {
				return err
			}
		}
	}
}

// drain shows everything that moved to see, until nothing is left. What moves afterwards was in a place that the walk has seen, or has been shown
// here, so that its blocks are marked: a move is noted before it is done, and those that began before the walk are waited for.
func (l *movedFiles) drain(see func(name string, f disk.File) error) error {
	for {
		id, fd, ok, err := l.take()
		if err != nil || !ok {
			return err
		}
		err = seeObject(fd, see)
		unix.Close(fd)
		if err != nil {
			return err
		}
		l.show(id)
	}
}

// seeObject shows a regular file, or all below a directory.
func seeObject(fd int, see func(name string, f disk.File) error) error {
	name := "/proc/self/fd/" + strconv.Itoa(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f, err := openProc(fd)
		if err != nil {
			return err
		}
		defer f.Close()
		return see(name, f)
	case unix.S_IFDIR:
		// Every name: one that is removed meanwhile must not hide the others of its file.
		return recipe.WalkNames(context.Background(), disk.OS(), name, func(e recipe.WalkEntry) error {
			f, err := e.Open()
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			defer f.Close()
			return see(e.Path, f)
		}, func(_ string, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		})
	}
	return nil
}

func openProc(fd int) (disk.File, error) {
	own, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return disk.FromFD(own, "moved file"), nil
}
