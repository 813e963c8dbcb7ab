package fsck

import (
	"context"
	"sync"
	"syscall"

	"tresor/index/recipe"
)

// eachFile calls fn for every underlying file, from several goroutines; worker tells them apart, 0 to workers()-1. The first
// error of fn or of the walk ends it. broken is called for what could not be walked, one call at a time.
func (v *Volume) eachFile(ctx context.Context, fn func(ctx context.Context, worker int, e recipe.WalkEntry) error,
	broken func(path string, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan recipe.WalkEntry, 4*workers())
	var wg sync.WaitGroup
	for w := range workers() {
		wg.Go(func() {
			for e := range queue {
				if ctx.Err() != nil {
					continue // empties the queue
				}
				if err := fn(ctx, w, e); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := recipe.Walk(ctx, v.FS, v.Root, func(e recipe.WalkEntry) error {
		queue <- e
		return nil
	}, func(path string, err error) error {
		broken(path, err)
		return nil
	})
	close(queue)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// links is the number of names of a file.
func links(e recipe.WalkEntry) uint64 {
	if st, ok := e.Info.Sys().(*syscall.Stat_t); ok && st.Nlink > 0 {
		return uint64(st.Nlink)
	}
	return 1
}
