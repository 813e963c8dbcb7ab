package mounted

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/index"
)

// MaxHolders bounds how many a message names.
const MaxHolders = 8

// Holders names what has a hold on the file system: processes, mounts below it, loop devices on its files. What may not
// be looked at is left out.
func Holders(m *index.Mount) []string {
	list := processes(m.Device)
	if mounts, err := index.Mounts(); err == nil {
		for i := range mounts {
			if strings.HasPrefix(mounts[i].Point, m.Point+"/") {
				list = append(list, "the mount "+mounts[i].Point)
			}
		}
	}
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range backing {
		data, err := os.ReadFile(name)
		if file := strings.TrimSpace(string(data)); err == nil && strings.HasPrefix(file, m.Point+"/") {
			list = append(list, fmt.Sprintf("the loop device /dev/%s on %s", strings.Split(name, "/")[3], file))
		}
	}
	return list
}

// processes finds those that have a file, a directory or a mapping on the device major:minor.
func processes(device string) []string {
	var list []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || pid == os.Getppid() && commandOf(dir) == "umount" {
			continue // this process, and umount(8) that waits for it
		}
		if how := holds(dir, device); how != "" {
			list = append(list, fmt.Sprintf("%s[%d] (%s)", commandOf(dir), pid, how))
		}
	}
	return list
}

// commandOf is the name of a process by its directory in /proc.
func commandOf(dir string) string {
	name, _ := os.ReadFile(filepath.Join(dir, "comm"))
	return strings.TrimSpace(string(name))
}

// holds tells what a process has on the device, "" if nothing. dir is its directory in /proc.
func holds(dir, device string) string {
	for _, link := range []struct{ name, how string }{{"cwd", "working directory"}, {"root", "root directory"}, {"exe", "program"}} {
		if deviceOf(filepath.Join(dir, link.name)) == device {
			return link.how
		}
	}
	fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
	for _, fd := range fds {
		name := filepath.Join(dir, "fd", fd.Name())
		if deviceOf(name) == device {
			target, _ := os.Readlink(name)
			return "open file " + target
		}
	}
	return mapping(filepath.Join(dir, "maps"), device)
}

// mapping looks for the device in a process's memory map, whose fourth column is it in hexadecimal.
func mapping(maps, device string) string {
	f, err := os.Open(maps)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		column := strings.Fields(lines.Text())
		if len(column) < 6 {
			continue
		}
		major, minor, _ := strings.Cut(column[3], ":")
		a, err1 := strconv.ParseUint(major, 16, 32)
		b, err2 := strconv.ParseUint(minor, 16, 32)
		if err1 == nil && err2 == nil && fmt.Sprintf("%d:%d", a, b) == device {
			return "mapped file " + strings.Join(column[5:], " ")
		}
	}
	return ""
}

// deviceOf is the device of what a link in /proc points at, as mountinfo writes it. It asks the kernel for what it knows
// already: a question to the daemon might never be answered.
func deviceOf(link string) string {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st); err != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev_major, st.Dev_minor)
}
