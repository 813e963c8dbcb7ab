package node

import (
	"golang.org/x/sys/unix"

	"tresor/fs/inode"
)

// Changed makes the kernel forget what it knows of the content of a file in [off, off+n), and of its attributes, since it was changed past it.
// What programs have written through a memory mapping there, and the kernel has not handed over yet, is written first. No lock is held.
func (fs *FS) Changed(id uint64, off, n int64) {
	if node := fs.table.Get(inode.ID(id)); node != nil {
		node.Size.Invalidate()
	}
	if fs.server != nil {
		fs.server.InodeNotify(id, off, n) // one that the kernel does not know is no error
	}
}

// SyncName makes the name of the file durable, if no sync has covered it.
func (p *Place) SyncName() error {
	var st unix.Stat_t
	fd, err := p.there(&st)
	if err != nil || fd < 0 {
		return err // without a name there is none to be lost
	}
	unix.Close(fd)
	if n := p.fs.table.Get(inode.ID(st.Ino)); n != nil {
		return p.fs.syncName(n)
	}
	return p.sync()
}
