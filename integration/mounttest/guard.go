package mounttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// guardScript waits until process $1 is gone, then takes away by force the mounts listed in the file $2, and removes that file's directory $3. A process that
// is about to end has no executable any more.
const guardScript = `while readlink "/proc/$1/exe" >/dev/null; do sleep 1; done
while read -r p; do umount -c -i -f -l "$p"; done <"$2"
rm -rf "$3"`

// guard starts a process that outlives this one and returns the file that it reads. A test that panics or runs out of time ends without any
// clean-up; and if this process serves a mount in which it has open files, it would not even end: the kernel closes them by asking the process, and
// only afterwards everything else, pipes included. So the guard looks for itself.
var guard = sync.OnceValues(func() (*os.File, error) {
	dir, err := os.MkdirTemp("", "tresor-guard-")
	if err != nil {
		return nil, err
	}
	list, err := os.Create(filepath.Join(dir, "mounts"))
	if err != nil {
		return nil, err
	}
	c := exec.Command("/bin/sh", "-c", guardScript, "sh", strconv.Itoa(os.Getpid()), list.Name(), dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not to be hit by what ends us
	c.Dir = "/"
	return list, c.Start()
})

// protect has a mount point taken away when this process is gone.
func protect(point string) error {
	list, err := guard()
	if err == nil {
		_, err = fmt.Fprintln(list, point)
	}
	if err != nil {
		return fmt.Errorf("guard mount point %s: %w", point, err)
	}
	return nil
}
