package socket

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrNoPlace: there is no directory for sockets, since XDG_RUNTIME_DIR is not set.
var ErrNoPlace = errors.New("no directory for control sockets: XDG_RUNTIME_DIR is not set")

// Place says where sockets lie. The zero value is the system's.
type Place struct {
	// Dir holds the sockets of one user; empty: /run/ddumbfs for root, $XDG_RUNTIME_DIR/ddumbfs for others.
	Dir string
}

func (p Place) dir() (string, error) {
	if p.Dir != "" {
		return p.Dir, nil
	}
	if os.Geteuid() == 0 {
		return "/run/ddumbfs", nil
	}
	if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
		return filepath.Join(run, "ddumbfs"), nil
	}
	return "", ErrNoPlace
}

// names are those that the socket of the volume with this parent directory may have, by whatever path the directory is reached; a server uses
// the first. Root also finds the sockets of the directory's owner.
func (p Place) names(parent string) (list []string, err error) {
	var st unix.Stat_t
	if err := unix.Stat(parent, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: parent, Err: err}
	}
	dir, err := p.dir()
	if err != nil {
		return nil, err
	}
	base := fmt.Sprintf("%x-%x.sock", st.Dev, st.Ino)
	list = append(list, filepath.Join(dir, base))
	if p.Dir == "" && os.Geteuid() == 0 && st.Uid != 0 {
		list = append(list, filepath.Join("/run/user", strconv.Itoa(int(st.Uid)), "ddumbfs", base))
	}
	return list, nil
}

// makeDir makes the directory of the sockets, or checks that what is there belongs to us alone.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("directory %s: want one of mode 0700 that belongs to user %d, have mode %#o of user %d", dir, os.Geteuid(), st.Mode, st.Uid)
	}
	return nil
}
