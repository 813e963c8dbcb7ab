package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountpoint"
)

// Spec says what a disk is. Exactly one of UUID, File, Path and Export is set.
type Spec struct {
	Name    string   // any text but "/", NUL and names with a dot in front
	UUID    string   // of the file system, as in /dev/disk/by-uuid
	File    string   // a file with a file system in it, absolute
	Path    string   // a directory that is there already, absolute; it is neither mounted nor unmounted
	Export  string   // of another machine; needs Host.Mounter
	LUKS    string   // UUID of the encrypted device on which the file system lies; needs Host.Opener
	Dir     string   // where it is mounted if it is not, absolute; made if it is missing
	Options []string // of the mount
}

// Opener makes encrypted devices readable. It is a seam for a later release.
type Opener interface {
	// Open returns the readable device, which may be open already.
	Open(ctx context.Context, name, device string) (string, error)
	// Close is called after the unmount.
	Close(ctx context.Context, name string) error
}

// Mounter mounts what is no block device. It is a seam for a later release.
type Mounter interface {
	Mount(ctx context.Context, source, dir string, options []string) error
}

// Host is what a disk needs of the machine. The zero value is this machine.
type Host struct {
	Run     Runner             // nil: System
	Clock   orchestrator.Clock // nil: the system's
	Sys     string             // "" for /sys
	Dev     string             // "" for /dev
	Probe   time.Duration      // how long a device may take to show its first sectors, a sleeping one to wake up; 0: 45 seconds
	Opener  Opener
	Mounter Mounter
}

// ErrAmbiguous: two devices hold the same file system.
var ErrAmbiguous = errors.New("two devices hold the same file system")

// Disk is one disk. Its methods may be called by one goroutine at a time, Look and ID by several.
type Disk struct {
	spec  Spec
	host  Host
	probe func(path string) (kind, uuid string, err error) // probePath, but for tests

	unmount func(dir string) error // umount(2), but for tests

	mu     sync.Mutex           // guards what follows; leaf, no I/O
	device string               // of the file system, as it was found last
	id     string               // UUID of the file system, as it was found last
	hold   io.Closer            // keeps a loop device that is not mounted yet
	open   map[string]time.Time // devices that were asked what they hold and have not answered yet: when
	works  map[string]int       // mounts and unmounts that the kernel has not come back from yet: how many of them
}

// New checks the spec, and looks up where its mount point really lies.
func New(s Spec, h Host) (*Disk, error) {
	if s.Name == "" || strings.HasPrefix(s.Name, ".") || strings.ContainsAny(s.Name, "/\x00") {
		return nil, fmt.Errorf("disk %q: want a name without / and NUL, and no dot in front", s.Name)
	}
	set := 0
	for _, v := range []string{s.UUID, s.File, s.Path, s.Export} {
		if v != "" {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("disk %q: %d of UUID, file, path and export are given, want one", s.Name, set)
	}
	for what, v := range map[string]string{"file": s.File, "path": s.Path, "mount point": s.Dir} {
		if v != "" && !filepath.IsAbs(v) {
			return nil, fmt.Errorf("disk %q: %s %q is not absolute", s.Name, what, v)
		}
	}
	if strings.ContainsAny(s.UUID, "/\x00") {
		return nil, fmt.Errorf("disk %q: %q is no UUID", s.Name, s.UUID)
	}
	switch {
	case s.Path == "" && s.Dir == "":
		return nil, fmt.Errorf("disk %q: no mount point", s.Name)
	case s.Export != "" && h.Mounter == nil:
		return nil, fmt.Errorf("disk %q: network file systems are not supported yet; mount it and give its path", s.Name)
	case s.LUKS != "" && h.Opener == nil:
		return nil, fmt.Errorf("disk %q: encrypted disks are not supported yet; open it and leave luks_uuid out", s.Name)
	case s.LUKS != "" && s.UUID == "":
		return nil, fmt.Errorf("disk %q: an encrypted disk needs the UUID of the file system in it as well", s.Name)
	}
	h.defaults()
	if s.Dir != "" {
		s.Dir = mountpoint.Real(s.Dir)
	}
	return &Disk{spec: s, host: h, id: strings.ToLower(s.UUID), probe: probePath, open: map[string]time.Time{}, works: map[string]int{},
		unmount: func(dir string) error { return unix.Unmount(dir, unix.UMOUNT_NOFOLLOW) }}, nil
}

func (h *Host) defaults() {
	if h.Run == nil {
		h.Run = System
	}
	if h.Clock == nil {
		h.Clock = orchestrator.SystemClock()
	}
	if h.Probe <= 0 {
		h.Probe = 45 * time.Second
	}
	for p, v := range map[*string]string{&h.Sys: "/sys", &h.Dev: "/dev"} {
		if *p == "" {
			*p = v
		}
	}
}

// Name is the name in the settings.
func (d *Disk) Name() string { return d.spec.Name }

// ID is the UUID of the file system, in small letters; "" as long as it is not known, and for what is no block device.
func (d *Disk) ID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id
}

// Ours tells whether the disk is mounted and unmounted here.
func (d *Disk) Ours() bool { return d.spec.Path == "" }

// Device is the block device on which the file system was found last, for people.
func (d *Disk) Device() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.device
}
