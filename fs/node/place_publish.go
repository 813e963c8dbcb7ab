package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// Dress gives the new file the owner, mode and extended attributes of the one that has the name, then mode (0: as it is) and the time of
// modification.
func (p *Place) Dress(mode uint32, modified time.Time) error {
	var st unix.Stat_t
	old, err := p.there(&st)
	if err != nil {
		return err
	}
	if old >= 0 {
		defer unix.Close(old)
		if mode == 0 {
			mode = st.Mode & 0o7777
		}
		err := chown(p.fd, int(st.Uid), int(st.Gid))
		if err == nil {
			err = copyXattrs(old, p.fd)
		}
		if err != nil {
			return fmt.Errorf("attributes of %s: %w", p.path, err)
		}
	}
	if mode != 0 {
		if err := chmod(p.fd, mode); err != nil {
			return fmt.Errorf("mode of %s: %w", p.path, err)
		}
	}
	m, err := unix.TimeToTimespec(modified)
	if err == nil {
		err = utimes(p.fd, &[2]unix.Timespec{{Nsec: unix.UTIME_NOW}, m})
	}
	return err
}

// copyXattrs makes the extended attributes of the object behind to those of from. Those of trusted helpers of the kernel that cannot be set stay.
func copyXattrs(from, to int) error {
	want, err := xattrs(from)
	if err != nil {
		return err
	}
	have, err := xattrs(to)
	if err != nil {
		return err
	}
	for name := range have {
		if _, ok := want[name]; ok {
			continue
		}
		if err := unix.Removexattr(procName(to), name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove extended attribute %s: %w", name, err)
		}
	}
	for name, value := range want {
		if old, ok := have[name]; ok && slices.Equal(old, value) {
			continue
		}
		if err := unix.Setxattr(procName(to), name, value, 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// maxXattr is the most that the kernel has for one attribute, or for the list of names.
const maxXattr = 64 << 10

func xattrs(fd int) (map[string][]byte, error) {
	buf := make([]byte, maxXattr)
	n, err := unix.Listxattr(procName(fd), buf)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list extended attributes: %w", err)
	}
	all := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		n, err := unix.Getxattr(procName(fd), name, buf)
		if errors.Is(err, unix.ENODATA) {
			continue // listed, and gone
		}
		if err != nil {
			return nil, fmt.Errorf("extended attribute %s: %w", name, err)
		}
		all[name] = slices.Clone(buf[:n])
	}
	return all, nil
}

// Publish gives the new file, which is on the disk, its name, as a rename by a user does: what has the name is replaced, whoever has that
// open keeps it, a reclaim learns of the move, and the kernel forgets what it knew of the name. The directories on the way are synced then.
func (p *Place) Publish() error {
	fs := p.fs
	for {
		var st unix.Stat_t
		old, err := p.there(&st)
		if err != nil {
			return err
		}
		end := fs.moving()
		fs.announce(p.fd)
		err = p.rename(old >= 0)
		end()
		if err != nil && old >= 0 {
			unix.Close(old)
		}
		switch {
		case errors.Is(err, unix.EEXIST):
			continue // somebody has made one meanwhile
		case err != nil:
			return fmt.Errorf("rename to %s: %w", p.path, err)
		}
		if old >= 0 {
			fs.removed(old)
			fs.forgetAttr(inode.ID(st.Ino)) // it has a name less
		}
		fs.forgetName(p.dir, p.name)
		return p.sync()
	}
}

// rename gives the file its name, over what has it.
func (p *Place) rename(over bool) error {
	if p.tmp == "" {
		if !over {
			return link(p.fd, p.last(), p.name)
		}
		// Only a name can take the place of another one.
		p.tmp = p.newTemp()
		if err := link(p.fd, p.last(), p.tmp); err != nil {
			p.fs.drafts.Delete(p.tmp)
			p.tmp = ""
			return err
		}
	}
	if err := unix.Renameat(p.last(), p.tmp, p.last(), p.name); err != nil {
		return err
	}
	p.fs.drafts.Delete(p.tmp)
	p.tmp = ""
	return nil
}

// sync makes the name durable, and those of the directories above it, which may be new as well.
func (p *Place) sync() error {
	for _, dir := range slices.Backward(p.dirs) {
		fd, err := reopen(dir, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		err = p.fs.synced(p.fs.cfg.fsync(fd))
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetName makes the kernel look a name up again, and ask for the directory's times. No lock is held, since the kernel may first have to finish
// a request about that directory.
func (fs *FS) forgetName(dir inode.ID, name string) {
	if fs.server == nil {
		return
	}
	fs.server.EntryNotify(uint64(dir), name) // one that the kernel does not know is no error
	fs.forgetAttr(dir)
}

// forgetAttr makes the kernel ask for the attributes of a node again; cached content stays.
func (fs *FS) forgetAttr(id inode.ID) {
	if fs.server != nil {
		fs.server.InodeNotify(uint64(id), -1, 0)
	}
}
