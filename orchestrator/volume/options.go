package volume

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountpoint"
	"tresor/orchestrator/volume/internal/rotation"
)

// Disk is what a volume lies on; package disk has the real ones.
type Disk interface {
	ID() string     // UUID of its file system, "" if it has none or it is not known yet
	Device() string // for people
	Ours() bool     // it is mounted and unmounted by these methods, and not by somebody else
	// Look asks the kernel, and changes nothing: is it connected, and where is it mounted ("": nowhere)?
	Look(ctx context.Context) (connected bool, dir string, err error)
	Attach(ctx context.Context) error
	Unlock(ctx context.Context) error
	// Mount returns where it is mounted, by this call or before.
	Mount(ctx context.Context) (dir string, err error)
	// Unmount undoes Mount, Unlock and Attach. While dir is in use the error is an *orchestrator.InUseError.
	Unmount(ctx context.Context, dir string) error
	// Kept is what keeps a disk that is mounted nowhere from being taken away, such as another partition in use; "": nothing. It changes nothing.
	Kept(ctx context.Context) (why string, err error)
}

// Mounts is the kernel's mount table; disk.Table is the real one.
type Mounts interface {
	// At is type and source of what is mounted at exactly this point, "" if nothing is.
	At(point string) (kind, source string, err error)
	// Points are the places where this type is mounted from this source.
	Points(kind, source string) ([]string, error)
}

// Jobs are those who use the current volume.
type Jobs interface {
	// Idle returns when nothing waits for the volume or uses it.
	Idle(ctx context.Context) error
	// Drain keeps new work from the volume and returns when none uses it any more; with now work that is under way is interrupted, and goes on
	// after resume, on the same volume or the next one.
	Drain(ctx context.Context, now bool) (resume func(), err error)
}

// Spec is a volume as the settings have it. Their order is the order of the rotation.
type Spec struct {
	Name    string // exact
	Use     string // rotation, dayofweek-1 (Monday) to dayofweek-7, dayofmonth-1 to dayofmonth-31; "": what the name says
	Disk    Disk
	Parent  string // directory of the volume, relative to the disk; "": l0/ddumbfs
	Workers int    // of the mount; 0: the engine's default
}

// Deadlines of the steps. What has none here takes Step.
type Deadlines struct {
	Step    time.Duration // attach, unlock, mount and unmount of the disk, a look at what is there
	Mount   time.Duration // of the volume, with the check or repair that it needs
	Index   time.Duration // reading or copying of an index
	Drain   time.Duration // jobs that use the volume
	Idle    time.Duration // the queue, at a soft switch
	Unmount time.Duration // of the volume, with all tries while it is in use
	Alive   time.Duration // a write into the volume
}

// DefaultDeadlines are generous: they are there so that nothing waits for ever.
func DefaultDeadlines() Deadlines {
	return Deadlines{Step: 2 * time.Minute, Mount: 24 * time.Hour, Index: time.Hour, Drain: time.Hour, Idle: 24 * time.Hour,
		Unmount: 15 * time.Minute, Alive: time.Minute}
}

// Options of a Manager. Those without a comment that says otherwise are needed.
type Options struct {
	Volumes []Spec
	Engine  orchestrator.Engine
	Mounts  Mounts
	Point   string // mount point of the current volume, absolute
	State   string // directory of the state, absolute; made if it is missing
	Index   string // directory of the indexes, absolute, on a fast disk; made if it is missing

	Look      bool               // only Status will be called: New changes nothing, and the directory of the state must be there
	Folders   []string           // made in a volume; nil: bazaar, bazaar.tmp
	Jobs      Jobs               // nil: nobody uses the volume
	Clock     orchestrator.Clock // nil: the system's
	Random    io.Reader          // nil: crypto/rand
	Host      string             // "": the name of this machine
	Deadlines Deadlines          // what is zero takes the default
	Filesys   string             // type of a mounted volume in the mount table; "": fuse.ddumbfs
	// Log takes every change of a state, in order; nil: nobody. It must not call the Manager.
	Log func(Transition)
	// Force is called with a mount that is still in use when half of Deadlines.Unmount is over, and may end those who use it; nil: they are left alone.
	Force func(ctx context.Context, point string) error
	// Owned tells whether a process has a volume open, by its directory, or an index, by its file: one that mounts, checks or closes it is not seen in the mount
	// table. nil: nobody can tell, and it is taken for no.
	Owned func(path string) (bool, error)
	// IndexSize is how many bytes the index of a new volume takes; nil: a new volume leaves no room for its copy.
	IndexSize func(size int64, blockSize int, hash string) (int64, error)
	// CopyEvery is how often a copy of the index is laid on the disk while its volume is mounted, if the index has changed; 0: never.
	CopyEvery time.Duration
	// Offer is called after a volume was mounted, Withdraw before it is unmounted: exports to other machines. nil: nothing. Their errors are warnings.
	Offer, Withdraw func(ctx context.Context, point string) error
}

// ErrNotUsable: no volume is mounted that can be written.
var ErrNotUsable = errors.New("volume cannot be used")

// ErrNotFound: the settings have no volume of this name.
var ErrNotFound = errors.New("no such volume")

func (o *Options) defaults() error {
	if o.Engine == nil || o.Mounts == nil {
		return errors.New("volumes: no engine or no mount table")
	}
	for what, p := range map[string]string{"mount point": o.Point, "directory of the state": o.State, "directory of the indexes": o.Index} {
		if !filepath.IsAbs(p) {
			return fmt.Errorf("volumes: %s %q is not absolute", what, p)
		}
	}
	if o.Folders == nil {
		o.Folders = []string{"bazaar", "bazaar.tmp"}
	}
	if o.Clock == nil {
		o.Clock = orchestrator.SystemClock()
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Filesys == "" {
		o.Filesys = "fuse.ddumbfs"
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname() // it only stands in files for people
	}
	if o.Log == nil {
		o.Log = func(Transition) {}
	}
	if o.Owned == nil {
		o.Owned = func(string) (bool, error) { return false, nil }
	}
	o.Point = mountpoint.Real(o.Point)
	d, def := &o.Deadlines, DefaultDeadlines()
	for p, v := range map[*time.Duration]time.Duration{&d.Step: def.Step, &d.Mount: def.Mount, &d.Index: def.Index, &d.Drain: def.Drain,
		&d.Idle: def.Idle, &d.Unmount: def.Unmount, &d.Alive: def.Alive} {
		if *p <= 0 {
			*p = v
		}
	}
	return o.checkVolumes()
}

func (o *Options) checkVolumes() error {
	o.Volumes = append([]Spec(nil), o.Volumes...)
	seen := map[string]bool{}
	for i := range o.Volumes {
		v := &o.Volumes[i]
		if v.Name == "" || strings.ContainsAny(v.Name, "/\x00") || seen[v.Name] {
			return fmt.Errorf("volume %q: want a name that no other volume has, without / and NUL", v.Name)
		}
		seen[v.Name] = true
		if v.Disk == nil {
			return fmt.Errorf("volume %q: no disk", v.Name)
		}
		if v.Parent == "" {
			v.Parent = "l0/ddumbfs"
		}
		v.Parent = filepath.Clean(v.Parent)
		if !filepath.IsLocal(v.Parent) || v.Parent == "." {
			return fmt.Errorf("volume %q: parent %q is no directory below the disk", v.Name, v.Parent)
		}
		if _, err := rotation.ParseUse(v.Use, v.Name); err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
	}
	return nil
}
