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

// maxMoved is how many moved objects are kept for a reclaim, each of which takes a descriptor: users need theirs.
const maxMoved = 1024

// movedFiles collects what gets a new place while a reclaim walks: the walk may have passed that place already and not have reached the old one.
type movedFiles struct {
	// mu guards the fields. No I/O under it but the fstat of an open object.
	mu      sync.Mutex
	running bool
	kept    map[objectID]int // O_PATH descriptors of our own, which keep the numbers from being used again
	dropped error            // something could not be noted: nothing is kept any more, and the reclaim must not free anything
}

type objectID struct{ dev, ino uint64 }

// start begins to collect; false: a reclaim does already, and what it has collected is left alone.
func (l *movedFiles) start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return false
	}
	l.running, l.dropped, l.kept = true, nil, make(map[objectID]int)
	return true
}

func (l *movedFiles) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = false
	l.releaseLocked()
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
	if len(l.kept) >= maxMoved {
		return fmt.Errorf("more than %d files and directories were moved", maxMoved)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.kept[id] = own
	return nil
}

func (l *movedFiles) take() (fd int, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped != nil {
		return 0, false, l.dropped
	}
	for id, fd := range l.kept {
		delete(l.kept, id)
		return fd, true, nil
	}
	return 0, false, nil
}

// drain shows everything that moved to see, until nothing is left. What moves afterwards was in a place that the walk has seen, or has been shown
// here, so that its blocks are marked: a move is noted before it is done, and those that began before the walk are waited for.
func (l *movedFiles) drain(see func(name string, f disk.File) error) error {
	for {
		fd, ok, err := l.take()
		if err != nil || !ok {
			return err
		}
		err = seeObject(fd, see)
		unix.Close(fd)
		if err != nil {
			return err
		}
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
		return recipe.Walk(context.Background(), disk.OS(), name, func(e recipe.WalkEntry) error {
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
