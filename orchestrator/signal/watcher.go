package signal

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher hears from the kernel that something in the folder has changed. What it was is not looked at: the folder itself says it. One goroutine of Run
// owns it.
type watcher struct {
	f      *os.File // of inotify; nil: none
	id     identity // of the folder that is watched
	failed bool
}

// Not IN_CREATE: a script makes a file and then writes into it, and the text is to be there when the signal is told. Links are seen by the poll.
const watched = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_ONLYDIR

// ensure watches the folder, also one that was put in place of the old one. It returns an error the first time that it cannot; nil while
// there is no folder, which is told elsewhere.
func (w *watcher) ensure(dir string, running *sync.WaitGroup, changed func()) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil //nolint:nilerr // the look at the folder reports it
	}
	id := identity{st.Dev, st.Ino}
	if w.failed || w.f != nil && w.id == id {
		return nil
	}
	w.close()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		w.failed = true
		return fmt.Errorf("watch folder of signals %s: it is looked at once a second only: %w", dir, err)
	}
	w.f, w.id = os.NewFile(uintptr(fd), "inotify"), id
	if _, err := unix.InotifyAddWatch(fd, dir, watched); err != nil {
		w.close()
		w.failed = true
		return fmt.Errorf("watch folder of signals %s: it is looked at once a second only: %w", dir, err)
	}
	f := w.f
	running.Go(func() {
		buf := make([]byte, 4096)
		for {
			if _, err := f.Read(buf); err != nil { // closed: by us, or there is nothing more to hear
				return
			}
			changed()
		}
	})
	return nil
}

// close ends the goroutine that reads.
func (w *watcher) close() {
	if w.f != nil {
		if err := w.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			w.failed = true
		}
		w.f = nil
	}
}
