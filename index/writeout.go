package index

import (
	"sync"

	"tresor/index/disk"
)

// writeWindow is how much of the block file is handed to the disk at once. Blocks are allocated in ascending order, so a window is full
// when a write crosses its end.
const writeWindow = 8 << 20

// writeOut makes the kernel begin with writing blocks while others are still being hashed, instead of leaving it all to the
// sync at the end: twice the speed for new data with a sync (docs/performance.md). It is about time only; what is durable is decided by Sync.
type writeOut struct {
	file    disk.File
	windows chan int64
	worker  sync.WaitGroup
}

func (w *writeOut) start(f disk.File) {
	w.file = f
	w.windows = make(chan int64, 64)
	w.worker.Go(func() {
		for n := range w.windows {
			// An error here comes again from the sync, which reports it.
			_ = w.file.Flush(n*writeWindow, writeWindow)
		}
	})
}

// wrote tells of a write of n bytes at off. It never waits: a window that finds the queue full is written by the sync.
func (w *writeOut) wrote(off, n int64) {
	for window := off / writeWindow; window < (off+n)/writeWindow; window++ {
		select {
		case w.windows <- window:
		default:
			return
		}
	}
}

// stop ends the worker. Nothing is written any more when it is called.
func (w *writeOut) stop() {
	if w.windows == nil {
		return
	}
	close(w.windows)
	w.worker.Wait()
	w.windows = nil
}
