package resize

import (
	"context"
	"errors"
	iofs "io/fs"
	"syscall"

	"tresor/index/recipe"
)

// present returns the pieces whose files are still there, in their order. Users make room by deleting files; there is nothing to convert
// then, and nothing is recorded: the inode may be that of another file by tomorrow. But a file that was only moved is half converted, perhaps:
// that is a *MovedError, as is another file in its place.
func (c *converter) present(ctx context.Context, pieces []piece) ([]piece, error) {
	gone := map[uint64]string{} // paths by inode
	var left []piece
	for i := range pieces {
		p := &pieces[i]
		err := c.lookup(p)
		switch {
		case errors.Is(err, iofs.ErrNotExist):
			gone[p.ino] = p.path
		case err != nil:
			return nil, err
		default:
			left = append(left, *p)
		}
	}
	if len(gone) == 0 {
		return left, nil
	}
	if err := c.r.eachFile(ctx, func(path string, e recipe.WalkEntry, _ bool) error {
		if st, ok := e.Info.Sys().(*syscall.Stat_t); ok && gone[st.Ino] != "" {
			return &MovedError{Root: c.r.p.Root, Path: gone[st.Ino], Now: path, Ino: st.Ino}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for i := range pieces {
		if path := gone[pieces[i].ino]; path != "" {
			c.r.res.Gone = append(c.r.res.Gone, path)
			delete(gone, pieces[i].ino)
		}
	}
	return left, nil
}
