package fs

import (
	"context"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/recipe"
)

// movedFiles collects what gets a new place while a reclaim walks: the walk may have passed that place already and not have reached the old one.
type movedFiles struct {
	// mu guards the fields. No I/O under it.
	mu      sync.Mutex
	running bool
	fds     []int // O_PATH descriptors of our own
	dropped error // something could not be noted: the reclaim must not free anything
}

// start begins to collect; false: a reclaim does already, and what it has collected is left alone.
func (l *movedFiles) start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return false
	}
	l.running, l.dropped = true, nil
	return true
}

func (l *movedFiles) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = false
	for _, fd := range l.fds {
		unix.Close(fd)
	}
	l.fds = nil
}

// Begin implements node.Mover: the reclaim waits for moves in flight before it walks.
func (s *statSource) Begin() (end func()) {
	t := s.m.vol.Enter()
	return func() { s.m.vol.Leave(t) }
}

// Moved implements node.Mover: fd stays the caller's. Directories are walked like files are read, later.
func (s *statSource) Moved(fd int, _ bool) error {
	l := &s.moved
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return nil
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		l.dropped = err
		return nil
	}
	l.fds = append(l.fds, own)
	return nil
}

func (l *movedFiles) take() (fd int, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped != nil {
		return 0, false, l.dropped
	}
	if len(l.fds) == 0 {
		return 0, false, nil
	}
	fd = l.fds[len(l.fds)-1]
	l.fds = l.fds[:len(l.fds)-1]
	return fd, true, nil
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
