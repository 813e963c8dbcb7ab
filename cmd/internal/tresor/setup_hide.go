package tresor

import "golang.org/x/sys/unix"

// hideInput switches the echo of a terminal off, and nothing else: lines and Ctrl-C work as before.
func hideInput(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
