package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/internal/mountinfo"
)

// Kept says what keeps the disk from being taken away although this file system is mounted nowhere: another partition of the same disk that is in use, a
// device that is built on it, swap space, a mount in another mount namespace (of a container, of a service), a mount or an unmount of ours that was given up and
// has not returned. Empty: nothing. It changes nothing, and
// opens no device: that could be in the way of a mount.
func (d *Disk) Kept(ctx context.Context) (why string, err error) {
	if d.spec.Path != "" || d.spec.Export != "" {
		return "", nil
	}
	if what := d.atWork(); what != "" { // the mount table does not have it any more, or not yet, and the kernel still writes
		return "the kernel is not done yet: " + what, nil
	}
	dev, err := d.find(ctx)
	if dev == nil || dev.path == "" || err != nil {
		return "", err
	}
	return deadline.Run(ctx, "look who uses "+dev.path, func() (string, error) { return d.kept(ctx, dev.path) })
}

func (d *Disk) kept(ctx context.Context, path string) (string, error) {
	numbers := map[string]string{} // of the whole disk and its partitions: names of the devices
	for _, name := range d.siblings(path) {
		dev := filepath.Join(d.host.Dev, strings.ReplaceAll(name, "!", "/"))
		mounts, err := d.mountsOf(dev)
		if gone(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		if len(mounts) > 0 {
			return fmt.Sprintf("%s is mounted at %s", dev, mounts[0].Point), nil
		}
		if above, err := os.ReadDir(filepath.Join(d.host.Sys, "class/block", name, "holders")); err == nil && len(above) > 0 {
			return fmt.Sprintf("%s is built on %s", above[0].Name(), dev), nil
		}
		if n, err := number(dev); err == nil {
			numbers[n] = dev
		}
	}
	if swaps, err := os.ReadFile("/proc/swaps"); err == nil {
		for line := range strings.Lines(string(swaps)) {
			if f := strings.Fields(line); len(f) > 0 && strings.HasPrefix(f[0], "/") {
				if n, err := number(f[0]); err == nil && numbers[n] != "" {
					return f[0] + " is swap space", nil
				}
			}
		}
	}
	all, err := Table{}.All()
	if err != nil {
		return "", err
	}
	for _, m := range all { // those that lie below another mount
		if dev := numbers[m.Device]; dev != "" {
			return fmt.Sprintf("%s is mounted at %s", dev, m.Point), nil
		}
	}
	return namespaces(ctx, numbers)
}

// siblings are the names of the whole disk and of its partitions.
func (d *Disk) siblings(path string) []string {
	name := strings.ReplaceAll(strings.TrimPrefix(path, d.host.Dev+"/"), "/", "!")
	dir, err := filepath.EvalSymlinks(filepath.Join(d.host.Sys, "class/block", name))
	if err != nil {
		return []string{name}
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	list := []string{filepath.Base(dir)}
	parts, _ := filepath.Glob(filepath.Join(dir, "*", "partition")) // the pattern is right
	for _, p := range parts {
		list = append(list, filepath.Base(filepath.Dir(p)))
	}
	return list
}

// namespaces looks for mounts of these devices that this process does not see, once in each mount namespace. What may not be looked at is left out.
func namespaces(ctx context.Context, numbers map[string]string) (string, error) {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return "", nil // a kernel without them
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", fmt.Errorf("list processes: %w", err)
	}
	seen := map[string]bool{own: true}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		dir := filepath.Join("/proc", e.Name())
		ns, err := os.Readlink(filepath.Join(dir, "ns/mnt"))
		if err != nil || seen[ns] {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
		if err != nil { // it has ended; another process may be in the same namespace
			continue
		}
		seen[ns] = true
		list, err := mountinfo.Parse(string(text))
		if err != nil {
			continue
		}
		for _, m := range list {
			if dev := numbers[m.Device]; dev != "" {
				comm, _ := os.ReadFile(filepath.Join(dir, "comm")) // it may have ended
				return fmt.Sprintf("%s is mounted at %s in the mount namespace of process %s (%s)", dev, m.Point, e.Name(), strings.TrimSpace(string(comm))), nil
			}
		}
	}
	return "", nil
}
