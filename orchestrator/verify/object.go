package verify

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zeebo/blake3"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/xattr"
)

// Kind is what something in a tree is.
type Kind string

// The kinds.
const (
	File    Kind = "file"
	Dir     Kind = "dir"
	Symlink Kind = "symlink"
	Fifo    Kind = "fifo"
	Socket  Kind = "socket"
	Char    Kind = "char"
	Block   Kind = "block"
)

// Object is something in a tree, without its content.
type Object struct {
	Path   orchestrator.Path `json:"path"` // relative to the backup
	Kind   Kind              `json:"kind"`
	Mode   uint32            `json:"mode"` // permissions, with setuid, setgid and sticky: 12 bits; of a symlink 0
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Target orchestrator.Path `json:"target,omitempty"` // of a symlink
	Device uint64            `json:"device,omitempty"` // of a device
	Mtime  time.Time         `json:"mtime,omitzero"`   // zero: not known
	// Xattrs are the BLAKE3 sums of its extended attributes, ACLs and capabilities included, by their names. Those that a kernel gives by itself, such as
	// security.selinux, are not in it.
	Xattrs map[orchestrator.Path]orchestrator.Digest `json:"xattrs,omitempty"`

	bare     bool // times and attributes are not known: a manifest of version 1 has none
	size     int64
	dev, ino uint64
	ctime    time.Time
}

// describe makes an object of what lstat says. sys is a path that names it and follows nothing.
func describe(p, sys string, info fs.FileInfo) (Object, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Object{}, fmt.Errorf("stat %s: have %T, want a Stat_t", p, info.Sys())
	}
	o := Object{Path: orchestrator.Path(p), Kind: File, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, size: st.Size, dev: st.Dev, ino: st.Ino,
		Mtime: timeOf(st.Mtim), ctime: timeOf(st.Ctim)}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		o.Kind = Dir
	case syscall.S_IFLNK:
		to, err := os.Readlink(sys)
		if err != nil {
			return o, err
		}
		o.Kind, o.Target, o.Mode = Symlink, orchestrator.Path(to), 0
	case syscall.S_IFIFO:
		o.Kind = Fifo
	case syscall.S_IFSOCK:
		o.Kind = Socket
	case syscall.S_IFCHR:
		o.Kind, o.Device = Char, st.Rdev
	case syscall.S_IFBLK:
		o.Kind, o.Device = Block, st.Rdev
	}
	list, err := xattr.Read(sys)
	if err != nil {
		return o, fmt.Errorf("%s: %w", p, err)
	}
	for _, x := range list {
		if given(x.Name) {
			continue
		}
		if o.Xattrs == nil {
			o.Xattrs = map[orchestrator.Path]orchestrator.Digest{}
		}
		o.Xattrs[orchestrator.Path(x.Name)] = blake3.Sum256(x.Value)
	}
	return o, nil
}

// timeOf is a time that a manifest can hold; zero for one that it cannot.
func timeOf(t syscall.Timespec) time.Time {
	at := time.Unix(t.Unix()).UTC()
	if y := at.Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return at
}

// given tells whether an attribute comes from the kernel or the file system and not from whoever made the file.
func given(name string) bool {
	const security = "security."
	return strings.HasPrefix(name, security) && name != security+"capability" || strings.HasPrefix(name, "system.") && !strings.HasPrefix(name, "system.posix_acl_")
}

// unlike says what of two objects of the same path differs; empty: nothing.
func (o Object) unlike(have Object) string {
	var list []string
	note := func(what string, want, have any) {
		list = append(list, fmt.Sprintf("%s: wanted %v, found %v", what, want, have))
	}
	switch {
	case o.Kind != have.Kind:
		note("kind", o.Kind, have.Kind)
	case o.Target != have.Target:
		note("target", fmt.Sprintf("%q", o.Target), fmt.Sprintf("%q", have.Target))
	case o.Device != have.Device:
		note("device", o.Device, have.Device)
	}
	if o.Kind == have.Kind && o.Mode != have.Mode {
		note("mode", fmt.Sprintf("%04o", o.Mode), fmt.Sprintf("%04o", have.Mode))
	}
	if o.UID != have.UID || o.GID != have.GID {
		note("owner", fmt.Sprintf("%d:%d", o.UID, o.GID), fmt.Sprintf("%d:%d", have.UID, have.GID))
	}
	if o.Kind == have.Kind && !o.bare && !have.bare {
		if !sameTime(o.Mtime, have.Mtime) {
			note("time", o.Mtime.Format(time.RFC3339Nano), have.Mtime.Format(time.RFC3339Nano))
		}
		for _, name := range o.unlikeXattrs(have) {
			note(fmt.Sprintf("extended attribute %q", name), shown(o.Xattrs, name), shown(have.Xattrs, name))
		}
	}
	return strings.Join(list, "; ")
}

// unlikeXattrs are the names of the attributes that differ, in order.
func (o Object) unlikeXattrs(have Object) (names []orchestrator.Path) {
	for name, sum := range o.Xattrs {
		if other, ok := have.Xattrs[name]; !ok || other != sum {
			names = append(names, name)
		}
	}
	for name := range have.Xattrs {
		if _, ok := o.Xattrs[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// shown is an attribute for people.
func shown(list map[orchestrator.Path]orchestrator.Digest, name orchestrator.Path) string {
	sum, ok := list[name]
	if !ok {
		return "none"
	}
	return fmt.Sprintf("one with the sum %x", sum[:8])
}

// sameTime tells whether a copy has the time of its source, or what a file system keeps of it that counts in microseconds, or in whole seconds. One that is
// not known differs from none.
func sameTime(want, have time.Time) bool {
	if want.IsZero() || have.IsZero() {
		return true
	}
	for _, unit := range []time.Duration{1, 100, time.Microsecond, time.Second} {
		if want.Truncate(unit).Equal(have) {
			return true
		}
	}
	return false
}
