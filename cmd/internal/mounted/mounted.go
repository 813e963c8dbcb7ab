package mounted

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/index"
)

// At finds the topmost mount at a mount point (absolute, clean); nil when nothing is mounted there.
func At(list []index.Mount, point string) *index.Mount {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Point == point {
			return &list[i]
		}
	}
	return nil
}

// Remove calls umount2(2), or fusermount3 for users who may not.
func Remove(point string, flags int) error {
	err := unix.Unmount(point, flags)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	args := []string{"-u"}
	if flags&unix.MNT_DETACH != 0 {
		args = append(args, "-z")
	}
	out, ferr := exec.Command("fusermount3", append(args, "--", point)...).CombinedOutput()
	switch {
	case ferr == nil:
		return nil
	case strings.Contains(string(out), "busy"):
		return unix.EBUSY
	case len(out) > 0:
		return fmt.Errorf("%w; %s", err, strings.TrimSpace(string(out)))
	}
	return errors.Join(err, ferr)
}
