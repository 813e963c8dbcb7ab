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

// SyncTree makes everything durable that is below the root: names, attributes, underlying files.
func (fs *FS) SyncTree() error { return fs.synced(unix.Syncfs(fs.mount)) }
