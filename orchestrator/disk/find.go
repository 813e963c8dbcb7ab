package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/internal/deadline"
)

// found is a block device with a file system.
type found struct {
	path string // of the device node
	kind string // of the file system, "" if it is one that probe does not know
}

// byUUID looks for the device with a file system (or encrypted device) of this UUID: where udev's link points to, and on all devices, because a
// container has no such links and a link may be stale. It returns nil if there is none.
func (d *Disk) byUUID(ctx context.Context, uuid string) (*found, error) {
	return deadline.Run(ctx, "look for file system "+uuid, func() (*found, error) {
		want := strings.ToLower(uuid)
		paths, err := d.devices()
		if err != nil {
			return nil, err
		}
		list, problems := d.holding(ctx, paths, want)
		switch {
		case len(list) == 1 || len(list) > 1 && list[0].kind == typeBtrfs: // which spreads over devices with one UUID
			return &list[0], nil
		case len(list) > 1:
			for i := range list { // a copy that is plugged in does not make the one disappear that is in use
				if mounts, err := d.mountsOf(list[i].path); err == nil && d.best(mounts) == d.spec.Dir {
					return &list[i], nil
				}
			}
			return nil, fmt.Errorf("file system %s is on %s and on %s: %w; take one away", uuid, list[0].path, list[1].path, ErrAmbiguous)
		}
		link := filepath.Join(d.host.Dev, "disk/by-uuid", uuid)
		target, err := filepath.EvalSymlinks(link)
		if err != nil { // a device that cannot be read may be the one that is looked for
			return nil, problems
		}
		// A type that probe does not know is left to udev and mount; one that it knows has another UUID, or it would be in the list.
		if kind, _, err := probePath(target); err == nil && kind == "" {
			return &found{path: target}, nil
		}
		return nil, problems
	})
}

// probed is what was found on a device.
type probed struct {
	path, kind, uuid string
	err              error
}

// holding are those of the devices that hold the file system, in the order of their names. A device below another one (of a RAID, of a multipath) is left out where
// the other is in the list. A device that does not answer is a problem of its own, and not asked again before it does: it must not keep the others from being found.
func (d *Disk) holding(ctx context.Context, paths []string, want string) (list []found, problems error) {
	ctx, end := context.WithTimeout(ctx, d.host.Probe)
	defer end()
	answers := make(chan probed, len(paths))
	silent := map[string]bool{}
	asked := 0
	for _, p := range paths {
		silent[p] = true
		if !d.ask(p) {
			continue
		}
		asked++
		go func() {
			kind, uuid, err := d.probe(p)
			d.answered(p)
			answers <- probed{p, kind, uuid, err}
		}()
	}
	for ctx.Err() == nil && asked > 0 {
		select {
		case a := <-answers:
			asked--
			delete(silent, a.path)
			switch {
			case gone(a.err) || errors.Is(a.err, fs.ErrPermission): // the disks of the host, seen from a container
			case a.err != nil:
				problems = errors.Join(problems, a.err)
			case a.uuid == want && !d.stacked(a.path):
				list = append(list, found{path: a.path, kind: a.kind})
			}
		case <-ctx.Done():
		}
	}
	for p := range silent {
		problems = errors.Join(problems, fmt.Errorf("%s does not answer", p))
	}
	slices.SortFunc(list, func(a, b found) int { return strings.Compare(a.path, b.path) })
	return list, problems
}

// ask tells whether a device is to be asked: not as long as a question from long ago has no answer.
func (d *Disk) ask(path string) bool {
	now := d.host.Clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	since, open := d.open[path]
	if open {
		return now.Sub(since) < d.host.Probe
	}
	d.open[path] = now
	return true
}

func (d *Disk) answered(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, path)
}

// gone tells whether there is no device, or nothing in it.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOMEDIUM) || errors.Is(err, unix.ENODEV)
}

// devices are the nodes of all block devices that have a size.
func (d *Disk) devices() ([]string, error) {
	dir := filepath.Join(d.host.Sys, "class/block")
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list block devices: %w", err)
	}
	var list []string
	for _, n := range names {
		size, err := os.ReadFile(filepath.Join(dir, n.Name(), "size"))
		if err != nil || strings.TrimSpace(string(size)) == "0" { // it went away, or has no medium
			continue
		}
		list = append(list, filepath.Join(d.host.Dev, strings.ReplaceAll(n.Name(), "!", "/")))
	}
	slices.Sort(list)
	return list, nil
}

// stacked tells whether another block device is built on this one.
func (d *Disk) stacked(path string) bool {
	names, err := os.ReadDir(filepath.Join(d.host.Sys, "class/block", strings.ReplaceAll(strings.TrimPrefix(path, d.host.Dev+"/"), "/", "!"), "holders"))
	return err == nil && len(names) > 0
}

// probePath is probe of a block device or a regular file.
func probePath(path string) (kind, uuid string, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", "", err
	}
	defer f.Close() // it was read only
	kind, uuid, err = probe(f)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	return kind, uuid, nil
}

// number is major:minor of a block device, as the mount table has it.
func number(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", fmt.Errorf("%s is no block device", path)
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}

// mountsOf are the mounts of a block device. A file system that spreads over devices has a number of its own: then the source's number counts.
func (d *Disk) mountsOf(device string) ([]Mount, error) {
	want, err := number(device)
	if err != nil {
		return nil, err
	}
	all, err := Table{}.All()
	if err != nil {
		return nil, err
	}
	var list []Mount
	for _, m := range visible(all) {
		is := m.Device == want
		if !is && strings.HasPrefix(m.Device, "0:") && strings.HasPrefix(m.Source, "/") {
			have, err := number(m.Source)
			is = err == nil && have == want
		}
		if is {
			list = append(list, m)
		}
	}
	return list, nil
}
