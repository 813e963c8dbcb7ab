package node

import (
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"syscall"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxRequest is the largest READ and WRITE, the most the kernel sends unasked.
const maxRequest = 1 << 20

// maxBackground bounds the readahead and asynchronous requests in flight.
const maxBackground = 64

// Capabilities returns the kernel features that are asked for beside the
// library's own choice.
func (fs *FS) Capabilities() uint64 {
	caps := uint64(fusefs.CAP_DONT_MASK | // default ACLs replace the umask, so we apply it
		fusefs.CAP_ATOMIC_O_TRUNC |
		fusefs.CAP_READDIRPLUS_AUTO |
		fusefs.CAP_ASYNC_DIO |
		fusefs.CAP_HANDLE_KILLPRIV_V2 | // without it each write asks for security.capability
		fusefs.CAP_SETXATTR_EXT |
		fusefs.CAP_IOCTL_DIR)
	if fs.cfg.Direct != DirectNever {
		caps |= fusefs.CAP_DIRECT_IO_ALLOW_MMAP
	}
	if fs.noExport == "" {
		caps |= fusefs.CAP_EXPORT_SUPPORT
	} else {
		caps |= fusefs.CAP_NO_EXPORT_SUPPORT
	}
	return caps
}

// MountOptions returns the options to mount with. source is what the mount
// table shows as device. extra are options as given after -o; those that are
// flags of mount(2) become flags, the rest goes to the kernel as it is.
func (fs *FS) MountOptions(source string, extra []string) *fusefs.MountOptions {
	o := &fusefs.MountOptions{
		FsName:                   source,
		Name:                     "ddumbfs",
		AllowOther:               true,
		Options:                  []string{"default_permissions"},
		DirectMountStrict:        true,
		MaxWrite:                 maxRequest,
		MaxReadAhead:             maxRequest,
		MaxBackground:            maxBackground,
		DisableSplice:            true,
		EnableAcl:                true,
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true, // content changes through this mount only
		ExtraCapabilities:        fs.Capabilities(),
		DisabledCapabilities:     fusefs.CAP_PASSTHROUGH, // we have no file to pass through to
		Logger:                   log.New(logWriter{fs}, "", 0),
	}
	flags := uintptr(0)
	if fs.cfg.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	for _, opt := range extra {
		if set, clear, ok := mountFlag(opt); ok {
			flags = flags&^clear | set
		} else if opt != "" && opt != "allow_other" && !slices.Contains(o.Options, opt) {
			o.Options = append(o.Options, opt)
		}
	}
	// The library takes 0 for "nosuid,nodev"; the kernel ignores MS_MGC_VAL.
	o.DirectMountFlags = flags | syscall.MS_MGC_VAL
	return o
}

// mountFlag translates an option that mount(2) knows as a flag.
func mountFlag(opt string) (set, clear uintptr, ok bool) {
	switch opt {
	case "ro":
		return unix.MS_RDONLY, 0, true
	case "rw":
		return 0, unix.MS_RDONLY, true
	case "nosuid":
		return unix.MS_NOSUID, 0, true
	case "suid":
		return 0, unix.MS_NOSUID, true
	case "nodev":
		return unix.MS_NODEV, 0, true
	case "dev":
		return 0, unix.MS_NODEV, true
	case "noexec":
		return unix.MS_NOEXEC, 0, true
	case "exec":
		return 0, unix.MS_NOEXEC, true
	case "sync":
		return unix.MS_SYNCHRONOUS, 0, true
	case "async":
		return 0, unix.MS_SYNCHRONOUS, true
	case "dirsync":
		return unix.MS_DIRSYNC, 0, true
	case "noatime":
		return unix.MS_NOATIME, 0, true
	case "nodiratime":
		return unix.MS_NODIRATIME, 0, true
	case "relatime":
		return unix.MS_RELATIME, 0, true
	case "norelatime":
		return 0, unix.MS_RELATIME, true
	case "strictatime":
		return unix.MS_STRICTATIME, 0, true
	case "nostrictatime":
		return 0, unix.MS_STRICTATIME, true
	case "lazytime":
		return unix.MS_LAZYTIME, 0, true
	case "nolazytime":
		return 0, unix.MS_LAZYTIME, true
	case "nosymfollow":
		return unix.MS_NOSYMFOLLOW, 0, true
	case "symfollow":
		return 0, unix.MS_NOSYMFOLLOW, true
	case "defaults", "auto", "noauto", "nofail", "_netdev":
		return 0, 0, true
	}
	return 0, 0, false
}

// SetReadAhead sets how far the kernel reads ahead in cached files of the mount,
// in bytes. The protocol can only lower the kernel's default of 128 KiB.
func SetReadAhead(mountpoint string, bytes int) error {
	var st unix.Stat_t
	if err := unix.Stat(mountpoint, &st); err != nil {
		return fmt.Errorf("set read-ahead of %s: %w", mountpoint, err)
	}
	name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	if err := os.WriteFile(name, fmt.Appendf(nil, "%d", bytes>>10), 0); err != nil {
		return fmt.Errorf("set read-ahead of %s: %w", mountpoint, err)
	}
	return nil
}

// logWriter hands the library's messages to our log.
type logWriter struct{ fs *FS }

func (w logWriter) Write(p []byte) (int, error) {
	w.fs.logf("fuse: %s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
