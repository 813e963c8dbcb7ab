package signal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// temporary is the prefix of a signal that is being written.
const temporary = ".tmp-"

// Set makes a signal file with a text, or leaves one that is there as it is. It appears with its text, in one step.
func (f *Folder) Set(name Name, text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.look()
	_, err := f.setLocked(name, text)
	return err
}

func (f *Folder) setLocked(name Name, text string) (created bool, err error) {
	if !name.known() {
		return false, fmt.Errorf("set signal %q: there is no such signal", name)
	}
	path, tmp := filepath.Join(f.dir, string(name)), filepath.Join(f.dir, temporary+string(name))
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("set signal %s: %w", name, err)
	}
	w, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o664)
	if err != nil {
		return false, fmt.Errorf("set signal %s: %w", name, err)
	}
	_, err = w.WriteString(printable(text) + "\n")
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err == nil {
		err = os.Link(tmp, path) // unlike a rename it never replaces what somebody else has put there
	}
	created = err == nil
	if errors.Is(err, os.ErrExist) {
		err = nil
	}
	if err = errors.Join(err, os.Remove(tmp)); err == nil {
		err = f.again(name)
	}
	if err != nil {
		return created, fmt.Errorf("set signal %s: %w", name, err)
	}
	return created, nil
}

// again syncs the folder and looks at one signal, so that Active knows at once what we did ourselves.
func (f *Folder) again(name Name) error {
	dir, err := f.open()
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := unix.Fsync(dir); err != nil {
		return fmt.Errorf("sync folder of signals: %w", err)
	}
	s, err := look(dir, name)
	if s != nil {
		f.now[name] = *s
	} else {
		delete(f.now, name)
	}
	return err
}

// Remove removes a signal file, whoever made it; it is no error if there is none.
func (f *Folder) Remove(name Name) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.look()
	if !name.known() {
		return fmt.Errorf("remove signal %q: there is no such signal", name)
	}
	if err := f.remove(name); err != nil {
		return err
	}
	return f.again(name)
}

func (f *Folder) remove(name Name) error {
	err := unix.Unlink(filepath.Join(f.dir, string(name))) // not os.Remove, which also takes directories
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove signal %s: %w", name, err)
	}
	return nil
}

// Consume acknowledges a one-shot signal: in one step its file is no signal any more, and then it is removed. It tells whether there was one, so that of several
// takers one gets it. A file of that name that is made later is a new request and told again.
func (f *Folder) Consume(name Name) (bool, error) {
	if !name.OneShot() {
		return false, fmt.Errorf("consume signal %q: it holds while its file is there", name)
	}
	return f.rename(name, consumed+string(name), true)
}

// Promote makes a switch of a softswitch, in one step, when all copies are done. It tells whether there was one.
func (f *Folder) Promote() (bool, error) {
	return f.rename(SoftSwitch, string(Switch), false)
}

func (f *Folder) rename(name Name, to string, unlink bool) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.look()
	dir, err := f.open()
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	if s, err := look(dir, name); s == nil {
		delete(f.now, name)
		return false, err
	}
	err = unix.Renameat(dir, string(name), dir, to)
	if errors.Is(err, unix.ENOENT) {
		delete(f.now, name)
		return false, nil
	}
	if err == nil && unlink {
		err = unix.Unlinkat(dir, to, 0)
	}
	if err != nil {
		return false, fmt.Errorf("consume signal %s: %w", name, err)
	}
	f.gen[name]++
	if !unlink {
		if err := f.again(Name(to)); err != nil {
			return true, err
		}
	}
	return true, f.again(name)
}
