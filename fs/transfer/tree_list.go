package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"

	"tresor/index/disk"
	"tresor/index/format"
)

// DamagedName is the file in the parent directory of a destination that lists, as JSON, what CopyTree did not copy as it is: an array of
// Damaged. It goes away with a run that copies everything.
const DamagedName = "ddfscopy.damaged"

// maxDamaged bounds how much of the list is read, in bytes.
const maxDamaged = 256 << 20

// readDamaged reads what the last run listed: these files are copied again, although their size and time are right.
func (c *tree) readDamaged() error {
	c.before = map[string]bool{}
	name := c.dst.Parent().Path(DamagedName)
	f, err := c.to.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > maxDamaged {
		return &format.CorruptError{File: name, What: "size", Want: fmt.Sprintf("at most %d bytes", maxDamaged), Have: fmt.Sprint(size)}
	}
	data := make([]byte, size)
	if err := disk.ReadFull(f, data, 0); err != nil {
		return err
	}
	var list []Damaged
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("read %s (what is listed there is copied again; remove it to start without): %w", name, err)
	}
	for _, d := range list {
		c.before[d.Path] = true
	}
	return nil
}

// writeDamaged puts the list on the disk before files in it get their names: a next run must not take them for complete. The old list's
// files stay in it until the end, when all of them were tried again.
func (c *tree) writeDamaged(end bool) error {
	name := c.dst.Parent().Path(DamagedName)
	if len(c.r.Damaged) == 0 {
		if !end || len(c.before) == 0 {
			return nil
		}
		if err := c.to.Remove(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		return c.to.SyncDir(c.dst.Parent().Dir)
	}
	if !end && c.listed == len(c.r.Damaged) {
		return nil
	}
	list := c.r.Damaged
	if !end {
		seen := map[string]bool{}
		for i := range list {
			seen[list[i].Path] = true
		}
		list = append([]Damaged{}, list...)
		for path := range c.before {
			if !seen[path] {
				list = append(list, Damaged{Path: path, Reason: "listed by an earlier run"})
			}
		}
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	c.listed = len(c.r.Damaged)
	return room(disk.WriteFileAtomic(c.to, name, append(data, '\n'), 0o600))
}
