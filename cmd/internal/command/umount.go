package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
	"tresor/index/format"
)

// defaultUmountTimeout is how long umount waits for a volume to be closed: buffers have to reach the disk.
const defaultUmountTimeout = 10 * time.Minute

func umountVerb() *Verb {
	return &Verb{
		Name: "umount", Args: "[-l] [-f] [--timeout DURATION] MNT...",
		Short: "Unmounts volumes and waits until they are clean and closed.",
		Codes: umountCodes(),
		new:   func() runner { return &umount{remove: mounted.Remove} },
	}
}

func umountCodes() []cli.Meaning {
	return []cli.Meaning{
		{Code: cli.ExitOK, Text: "unmounted, closed and clean; of a read-only mount: left as it was"},
		{Code: cli.ExitFailure, Text: "could not be unmounted"},
		{Code: cli.ExitUsage, Text: "wrong command line"},
		{Code: cli.ExitBusy, Text: "something uses the mount; it is still mounted, or mounted elsewhere as well"},
		{Code: cli.ExitNoVolume, Text: "no ddumbfs volume is mounted there"},
		{Code: cli.ExitInterrupted, Text: "interrupted while waiting; the volume closes on its own"},
		{Code: cli.ExitNotClean, Text: "unmounted and closed, but the volume is marked as not clean: the next mount repairs it"},
		{Code: cli.ExitTimeout, Text: "unmounted, but the volume was not closed within --timeout"},
	}
}

// umountHelperVerb is what umount(8) calls: `umount.fuse.ddumbfs MNT [-flnrv] [-N namespace] [-t type]`.
func umountHelperVerb() *Verb {
	v := umountVerb()
	v.Calls = []string{"umount.fuse.ddumbfs", "umount.ddumbfs"}
	v.Args = "MNT [-flnrv] [-N NAMESPACE] [-t TYPE]"
	v.hidden = true
	v.new = func() runner { return &umount{remove: mounted.Remove, helper: true} }
	return v
}

type umount struct {
	lazy, force, verbose bool
	timeout              time.Duration
	timeoutGiven         func() bool
	helper               bool

	remove func(point string, flags int) error // takes the mount away
}

func (u *umount) Flags(f *pflag.FlagSet) {
	f.BoolVarP(&u.lazy, "lazy", "l", false, "detach at once; the volume closes when its last file is closed, which is not waited for unless --timeout is given")
	f.BoolVarP(&u.force, "force", "f", false, "give up requests that the daemon does not answer")
	f.BoolVarP(&u.verbose, "verbose", "v", false, "say what is waited for")
	f.DurationVar(&u.timeout, "timeout", defaultUmountTimeout, "how long to wait for the volume to be closed")
	u.timeoutGiven = func() bool { return f.Changed("timeout") }
	if u.helper {
		f.BoolP("no-mtab", "n", false, "accepted, without effect")
		f.BoolP("read-only", "r", false, "accepted, without effect")
		f.StringP("namespace", "N", "", "accepted, without effect")
		f.StringP("types", "t", "", "accepted, without effect")
	}
}

func (u *umount) Run(ctx context.Context, s Streams, args []string) error {
	if len(args) == 0 {
		return arguments("want a mount point")
	}
	if u.timeout <= 0 {
		return arguments("--timeout %s: want more than 0", u.timeout)
	}
	var failed error
	for _, name := range args {
		err := u.one(ctx, s, name)
		if err == nil {
			continue
		}
		// With several mount points each error is said where it happened, and the first one decides the exit code.
		if len(args) == 1 {
			return err
		}
		cli.Report(s.Err, "umount", err)
		if failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return cli.Exit(cli.CodeOf(failed), nil)
	}
	return nil
}

func (u *umount) one(ctx context.Context, s Streams, name string) error {
	mount, _, err := findMount(name)
	if err != nil {
		return err
	}
	readOnly := servedReadOnly(mount)
	if err := u.remove(mount.Point, u.flags()); err != nil {
		if errors.Is(err, unix.EBUSY) {
			return busyError(mount)
		}
		return fmt.Errorf("unmount %s: %w", mount.Point, err)
	}
	left, err := index.Mounts()
	if err != nil {
		return err
	}
	if other := mountOf(left, mount.Source); other != nil {
		err := fmt.Errorf("%s is unmounted, but volume %s stays open: it is mounted on %s as well", mount.Point, mount.Source, other.Point)
		return cli.Exit(cli.ExitBusy, err)
	}
	return u.closed(ctx, s, mount, readOnly)
}

// servedReadOnly tells whether the mount's daemon leaves the volume as it is. A mount can be made read-only behind the back of a daemon
// that writes, but only such a daemon owns the volume.
func servedReadOnly(mount *index.Mount) bool {
	if !slices.Contains(strings.Split(mount.Options, ","), "ro") {
		return false
	}
	owned, err := mounted.Owned(mount.Source)
	return !owned && err == nil
}

// closed waits for the daemon and says how it left the volume; readOnly is a daemon that found it like that.
func (u *umount) closed(ctx context.Context, s Streams, mount *index.Mount, readOnly bool) error {
	parent := mount.Source
	if u.lazy && !u.timeoutGiven() {
		if open, err := mounted.Owned(parent); err != nil || open {
			fmt.Fprintf(s.Out, "%s is detached; volume %s is closed when its last file is\n", mount.Point, parent)
			return err
		}
	}
	if u.verbose {
		cli.Note(s.Err, "umount", "%s is unmounted, waiting for volume %s to be closed", mount.Point, parent)
	}
	progress := cli.NewProgress(s.Err, "umount", cli.Interval)
	err := mounted.WaitClosed(ctx, parent, u.timeout, func() { progress.Say("waiting for volume %s to be closed", parent) })
	progress.Done()
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%s is unmounted, but volume %s was not closed within %s", mount.Point, parent, u.timeout)
		return cli.Hint(cli.Exit(cli.ExitTimeout, err), "its process is still at work: look into its log, and do not detach the disk")
	}
	if err != nil {
		return err
	}
	if readOnly {
		fmt.Fprintf(s.Out, "%s is unmounted, volume %s was mounted read-only\n", mount.Point, parent)
		return nil
	}
	dirty, err := exists(filepath.Join(parent, format.DirtyName))
	if err != nil {
		return err
	}
	if dirty {
		err := cli.Exit(cli.ExitNotClean, fmt.Errorf("%s is unmounted, but volume %s is not clean", mount.Point, parent))
		return cli.Hint(err, "the next mount repairs it; ddumbfs fsck -c "+parent+" shows what is wrong, its log why")
	}
	fmt.Fprintf(s.Out, "%s is unmounted, volume %s is clean\n", mount.Point, parent)
	return nil
}

func (u *umount) flags() int {
	flags := unix.UMOUNT_NOFOLLOW
	if u.lazy {
		flags |= unix.MNT_DETACH
	}
	if u.force {
		flags |= unix.MNT_FORCE
	}
	return flags
}

func exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
