package node

import (
	"sync"

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
func (fs *FS) SyncTree() error { return fs.whole.sync(fs) }

// wholeSync syncs the whole file system below. The kernel tells what it could not write to one of those who ask, once: the others hear of it here.
type wholeSync struct {
	// mu guards lost, and is held until the volume has heard of an error: who asks meanwhile must not be the first who is told that all is well.
	mu   sync.Mutex
	lost error // of a sync that failed, for good
}

func (w *wholeSync) sync(fs *FS) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		return w.lost
	}
	err := fs.cfg.syncfs(fs.mount)
	told := fs.synced(err)
	if lossy(err) {
		w.lost = told
	}
	return told
}
