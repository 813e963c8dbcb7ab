package signal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Event is a signal that has appeared or vanished.
type Event struct {
	Name   Name
	Active bool      // false: the file is gone; of a one-shot signal: somebody took the request back
	Text   string    // what the file says, one printable line of at most 200 characters
	Since  time.Time // when the file was written
	UID    uint32    // of the file's owner
}

// Leased tells whether the file of a waita stands for a lease of ours, and for nobody's wish.
func (e Event) Leased() bool { return e.Name == WaitA && strings.HasPrefix(e.Text, leased) }

// identity tells a file from another. What is written into a file that is there changes nothing: the cloner rewrites waita every second.
type identity struct{ dev, ino uint64 }

// state of one signal file.
type state struct {
	Event
	id  identity
	gen int // how often a request of that name was consumed before
}

// trouble with an object that has a signal's name and is none.
type objectError struct {
	name Name
	what string
}

func (e *objectError) Error() string {
	return fmt.Sprintf("signal %s: it is %s, want a regular file: it is not a signal; remove it", e.name, e.what)
}

// look returns what stands below a name in the directory; nil if it is no signal. Nothing but a regular file is opened, and no link is followed.
func look(dir int, name Name) (*state, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, string(name), &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("signal %s: %w", name, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, &objectError{name, kind(st.Mode)}
	}
	s := &state{Event: Event{Name: name, Active: true, Since: time.Unix(st.Mtim.Unix()).UTC(), UID: st.Uid}, id: identity{st.Dev, st.Ino}}
	s.Text = read(dir, name)
	return s, nil
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}

// longest is how much of a file is read.
const longest = 200

// read returns the text of a signal. One that cannot be read is a signal all the same, without a text: its presence counts.
func read(dir int, name Name) string {
	fd, err := unix.Openat(dir, string(name), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), string(name))
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG { // it was replaced since the look
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(f, 4*longest))
	if err != nil {
		return ""
	}
	return printable(string(text))
}

// printable makes one line of whatever it gets.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest])
	}
	return text
}

// Present tells whether a directory has a signal file, such as noskipcrc in a volume's folder of backups.
func Present(dir string, name Name) (bool, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("signal %s in %s: %w", name, dir, err)
	}
	defer unix.Close(fd)
	s, err := look(fd, name)
	return s != nil, err
}
