package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/internal/mountpoint"
)

// ErrAbsent: the disk is not connected.
var ErrAbsent = errors.New("not connected")

// Look asks the kernel whether the disk is connected, and where it is mounted ("": nowhere). It changes nothing. Of several mounts the one at Spec.Dir counts
// first; a mount of a part of the file system does not count. Of two devices with this file system the one that is mounted at Spec.Dir counts; without such it
// is ErrAmbiguous. Of an export that is not mounted it says that it is connected, since only a mount shows that.
func (d *Disk) Look(ctx context.Context) (connected bool, dir string, err error) {
	switch {
	case d.spec.Path != "":
		dir, err := deadline.Run(ctx, "look at "+d.spec.Path, func() (string, error) { return lookPath(d.spec.Path) })
		return dir != "", dir, err
	case d.spec.Export != "":
		dir, err := d.exportAt()
		return true, dir, err
	}
	dev, err := d.find(ctx)
	if dev == nil || err != nil {
		return false, "", err
	}
	if dev.path == "" { // a loop file without a loop device, an encrypted device that is not open
		return true, "", nil
	}
	mounts, err := d.mountsOf(dev.path)
	return true, d.best(mounts), err
}

// lookPath returns the directory if it is there and nothing says that it is a mount point without its mount.
func lookPath(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("look at %s: it is no directory", path)
	}
	bare, err := mountpoint.Bare(path)
	if bare || err != nil {
		return "", err
	}
	return path, nil
}

func (d *Disk) exportAt() (string, error) {
	all, err := Table{}.All()
	if err != nil {
		return "", err
	}
	var list []Mount
	for _, m := range visible(all) {
		if m.Source == d.spec.Export && (m.Kind == "nfs" || m.Kind == "nfs4") {
			m.Root = "/" // it says the directory of the server
			list = append(list, m)
		}
	}
	return d.best(list), nil
}

func (d *Disk) best(list []Mount) (dir string) {
	for _, m := range list {
		if m.Root == "/" && (dir == "" || m.Point == d.spec.Dir) {
			dir = m.Point
		}
	}
	return dir
}

// find returns the device of the file system, nil if the disk is not connected. Its path is empty if there is no such device yet.
func (d *Disk) find(ctx context.Context) (*found, error) {
	var dev *found
	var err error
	if d.spec.File != "" {
		dev, err = deadline.Run(ctx, "look at "+d.spec.File, d.findFile)
	} else {
		dev, err = d.byUUID(ctx, d.spec.UUID)
		if dev == nil && err == nil && d.spec.LUKS != "" {
			if dev, err = d.byUUID(ctx, d.spec.LUKS); dev != nil {
				dev = &found{}
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("disk %q: %w", d.spec.Name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.device = ""; dev != nil {
		d.device = dev.path
	}
	return dev, nil
}

func (d *Disk) findFile() (*found, error) {
	kind, uuid, err := probePath(d.spec.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.id = uuid
	d.mu.Unlock()
	dev, err := d.loopOf(d.spec.File)
	return &found{path: dev, kind: kind}, err
}

// Attach makes the block device: the loop device of a file. What is a device already has only to be there. ErrAbsent if it is not.
func (d *Disk) Attach(ctx context.Context) error {
	connected, _, err := d.Look(ctx)
	if err != nil {
		return err
	}
	if !connected {
		return fmt.Errorf("disk %q (%s): %w", d.spec.Name, d.spec.what(), ErrAbsent)
	}
	if d.spec.File == "" {
		return nil
	}
	if held, err := d.holdLoop(); held || err != nil {
		return err
	}
	dev, err := deadline.Run(ctx, "attach "+d.spec.File, func() (*os.File, error) { return d.attachLoop(d.spec.File) })
	if err != nil {
		return err
	}
	// Two loop devices over one file would be two caches over one disk. Whoever came first has it.
	first, err := d.loopOf(d.spec.File)
	if err != nil || first != dev.Name() {
		return errors.Join(err, dev.Close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.device, d.hold = dev.Name(), dev
	return nil
}

// holdLoop keeps the loop device that is there already: it vanishes when whoever has it lets go.
func (d *Disk) holdLoop() (held bool, err error) {
	path := d.Device()
	if path == "" {
		return false, nil
	}
	dev, err := os.Open(path)
	if err != nil {
		return false, err
	}
	still, err := d.loopOf(d.spec.File)
	if err != nil || still != path {
		return false, errors.Join(err, dev.Close())
	}
	d.mu.Lock()
	old := d.hold
	d.hold = dev
	d.mu.Unlock()
	if old != nil {
		err = old.Close()
	}
	return true, err
}

func (s *Spec) what() string {
	for _, v := range []string{s.File, s.Path, s.Export} {
		if v != "" {
			return v
		}
	}
	return "UUID " + s.UUID
}

// Unlock opens an encrypted device.
func (d *Disk) Unlock(ctx context.Context) error {
	if d.spec.LUKS == "" {
		return nil
	}
	if dev, err := d.byUUID(ctx, d.spec.UUID); dev != nil || err != nil { // it is open
		return err
	}
	dev, err := d.byUUID(ctx, d.spec.LUKS)
	if err != nil {
		return err
	}
	if dev == nil {
		return fmt.Errorf("disk %q (LUKS %s): %w", d.spec.Name, d.spec.LUKS, ErrAbsent)
	}
	if _, err := d.host.Opener.Open(ctx, d.spec.Name, dev.path); err != nil {
		return fmt.Errorf("disk %q: %w", d.spec.Name, err)
	}
	return nil
}

// Mount returns the directory of the file system: where it is mounted already, or Spec.Dir, where it mounts it. It was attached and unlocked before.
func (d *Disk) Mount(ctx context.Context) (string, error) {
	connected, dir, err := d.Look(ctx)
	switch {
	case err != nil:
		return "", err
	case dir != "":
		return dir, d.release()
	case !connected:
		return "", fmt.Errorf("disk %q (%s): %w", d.spec.Name, d.spec.what(), ErrAbsent)
	}
	if err := d.mountPoint(); err != nil {
		return "", err
	}
	if d.spec.Export != "" {
		err = d.host.Mounter.Mount(ctx, d.spec.Export, d.spec.Dir, d.spec.Options)
	} else {
		err = d.mountDevice(ctx)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("disk %q: %w", d.spec.Name, err), d.release())
	}
	_, dir, err = d.Look(ctx)
	if err == nil && dir != d.spec.Dir {
		err = fmt.Errorf("disk %q: mounted at %s, and then found at %q", d.spec.Name, d.spec.Dir, dir)
	}
	return dir, errors.Join(err, d.release())
}

func (d *Disk) mountDevice(ctx context.Context) error {
	dev, err := d.find(ctx)
	if err != nil {
		return err
	}
	if dev == nil || dev.path == "" {
		return fmt.Errorf("no device of %s: %w", d.spec.what(), ErrAbsent)
	}
	args := []string{}
	if dev.kind != "" {
		args = append(args, "-t", dev.kind)
	}
	if len(d.spec.Options) > 0 {
		args = append(args, "-o", strings.Join(d.spec.Options, ","))
	}
	args = append(args, "--", dev.path, d.spec.Dir)
	what := "mount " + dev.path
	_, err = deadline.Run(ctx, what, func() ([]byte, error) {
		defer d.work(what)()
		return d.host.Run(ctx, "mount", args...)
	})
	return err
}

// mountPoint makes the directory, with the mark that is seen as long as nothing is mounted there.
func (d *Disk) mountPoint() error {
	kind, source, err := Table{}.At(d.spec.Dir)
	if err != nil {
		return err
	}
	if strings.HasPrefix(source, "/dev/") && kind != "" {
		if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) { // a disk that was pulled out while it was mounted
			if err := unix.Unmount(d.spec.Dir, unix.UMOUNT_NOFOLLOW); err != nil {
				return fmt.Errorf("disk %q: unmount what is left of %s from %s: %w", d.spec.Name, source, d.spec.Dir, err)
			}
			kind = ""
		}
	}
	if kind != "" {
		return fmt.Errorf("disk %q: mount point %s is taken by %s (%s)", d.spec.Name, d.spec.Dir, source, kind)
	}
	return mountpoint.Make(d.spec.Dir)
}

// work notes something that the kernel does with the disk, until the returned function is called: whoever waits for it may be let go before.
func (d *Disk) work(what string) (over func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.works[what]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.works[what]--; d.works[what] == 0 {
			delete(d.works, what)
		}
	}
}

// atWork is what the kernel does with the disk, "" for nothing.
func (d *Disk) atWork() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for what := range d.works {
		return what
	}
	return ""
}

// release lets go of a loop device: the mount keeps it, or it vanishes.
func (d *Disk) release() error {
	d.mu.Lock()
	hold := d.hold
	d.hold = nil
	d.mu.Unlock()
	if hold == nil {
		return nil
	}
	return hold.Close()
}

// Unmount unmounts the file system from dir, where Mount said that it is, and closes what Unlock opened once it is mounted nowhere. An empty dir is the place
// that is ours, where a mount may have come after its deadline. A Path stays. While it is in use the error is an *orchestrator.InUseError with those who use it,
// as it is if the file system, or a part of it, is mounted elsewhere as well.
func (d *Disk) Unmount(ctx context.Context, dir string) error {
	if d.spec.Path != "" {
		return nil
	}
	errHold := d.release()
	if dir == "" {
		if _, at, err := d.Look(ctx); err == nil && at == d.spec.Dir {
			dir = at
		}
	}
	number := ""
	if dir != "" { // also of a disk that is not there any more
		var err error
		if number, err = mountedAt(dir); err == nil {
			err = d.unmountFrom(ctx, dir)
		}
		if err != nil {
			return errors.Join(err, errHold)
		}
	}
	if err := d.elsewhere(ctx, number); err != nil {
		return errors.Join(err, errHold)
	}
	if d.spec.LUKS != "" {
		if err := d.host.Opener.Close(ctx, d.spec.Name); err != nil {
			return errors.Join(fmt.Errorf("disk %q: %w", d.spec.Name, err), errHold)
		}
	}
	return errHold
}

// mountedAt is the number of the file system that is seen at a mount point, "" if nothing is mounted there.
func mountedAt(dir string) (number string, err error) {
	all, err := Table{}.All()
	for _, m := range all {
		if m.Point == dir {
			number = m.Device
		}
	}
	return number, err
}

// elsewhere is an error if the file system with this number is still mounted somewhere, or a part of it. Without a number the disk is looked for; one that is
// found twice was not mounted at its place.
func (d *Disk) elsewhere(ctx context.Context, number string) error {
	var at []string
	if number == "" || d.spec.Export != "" {
		_, dir, err := d.Look(ctx)
		if err != nil && !errors.Is(err, ErrAmbiguous) {
			return err
		}
		if dir != "" {
			at = append(at, dir)
		}
	} else {
		all, err := Table{}.All()
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.Device == number {
				at = append(at, m.Point)
			}
		}
	}
	if len(at) == 0 {
		return nil
	}
	return &orchestrator.InUseError{Point: at[0], Holders: []string{"mounted by somebody else at " + strings.Join(at, ", ")}}
}

func (d *Disk) unmountFrom(ctx context.Context, dir string) error {
	what := "unmount " + dir
	err := deadline.Do(ctx, what, func() error {
		defer d.work(what)()
		return d.unmount(dir)
	})
	switch {
	case errors.Is(err, unix.EBUSY):
		holders, err := Holders(ctx, dir)
		return errors.Join(&orchestrator.InUseError{Point: dir, Holders: Names(holders)}, err)
	case errors.Is(err, unix.EINVAL): // nothing is mounted there
		return nil
	case err != nil:
		return fmt.Errorf("disk %q: unmount %s: %w", d.spec.Name, dir, err)
	}
	return nil
}
