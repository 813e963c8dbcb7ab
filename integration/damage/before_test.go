package damage

import (
	"errors"
	"path/filepath"

	"tresor/index"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/recipe"
)

// before looks at the damaged volume as a mount that does not repair would: what it serves is right, or an error; and what it does
// not serve, the check reports.
func (c *trial) before() {
	p, err := index.Acquire(index.Location{FS: c.m, Parent: at}, index.Read)
	if err != nil {
		return // said so
	}
	defer p.Close()
	v, err := index.Open(p, index.Options{ReadOnly: true})
	if err != nil {
		return
	}
	defer v.Close()
	r := v.NewReader()
	missing := ""
	for _, path := range c.b.paths {
		f := c.b.files[path]
		data, err := c.read(r, p, path)
		if err != nil {
			missing = path
			continue
		}
		if n := min(len(data), len(f.data)); string(data[:n]) != string(f.data[:n]) {
			c.fail("before the repair, %s is served with wrong content", path)
		}
	}
	if missing == "" {
		return
	}
	state := fsck.Of(p)
	if err := state.LoadState(); err != nil {
		return
	}
	if sum, err := fsck.Check(c.ctx, state, fsck.CheckOptions{Hashes: true}); err == nil && sum.Status() == fsck.OK {
		c.fail("before the repair, %s cannot be read, and the check of all hashes finds nothing", missing)
	}
}

// errOdd is a file that a mount would refuse to open.
var errOdd = errors.New("size and entries do not fit")

// read reads a file through the engine, as a mount does.
func (c *trial) read(r *index.Reader, p *index.Parent, path string) ([]byte, error) {
	f, err := c.m.OpenFile(filepath.Join(p.Root, path), 0, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rec := recipe.New(f, p.Geometry)
	h, err := rec.ReadHeader()
	if err != nil {
		return nil, err
	}
	if p.Geometry.Entries(h.Size) != h.Entries {
		return nil, errOdd
	}
	entries := make([]format.Entry, h.Entries)
	if _, err := rec.ReadEntries(0, entries); err != nil {
		return nil, err
	}
	data := make([]byte, h.Size)
	_, _, err = r.Read(entries, 0, data)
	return data, err
}
