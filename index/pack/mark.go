package pack

import (
	"errors"
	"fmt"
	iofs "io/fs"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// maxMark bounds .rebuildfsck where it is read, in bytes.
const maxMark = 4 << 10

// begin writes down what moves, and closes the volume to all other tools. The plan comes first and goes last: where .rebuildfsck does not
// name it, it is void.
func (j *job) begin() (err error) {
	if j.plan, err = newPlan(j); err != nil {
		return err
	}
	if err := j.writePlan(); err != nil {
		return err
	}
	if err := j.writeText(format.RebuildName, j.plan.claim()); err != nil {
		return err
	}
	if err := indexfile.WriteMark(j.p.FS, j.p.Dir, indexfile.MarkRepair); err != nil {
		return err
	}
	return j.remove(format.CleanName)
}

// open takes the marks away and then the plan: the volume is closed cleanly.
func (j *job) open() error {
	for _, name := range []string{format.DirtyName, format.RebuildName, format.PackName} {
		if err := j.remove(name); err != nil {
			return err
		}
	}
	return nil
}

// withdraw ends a pack that changed no name: the volume is as it was. Room that was taken for copies is given back, where it can be, but
// not before the plan is gone for good: it may say that the copies count.
func (j *job) withdraw() error {
	if j.plan == nil {
		return nil
	}
	claimed, err := j.claimed()
	switch {
	case err != nil:
	case claimed:
		err = j.open()
	default:
		err = j.remove(format.PackName)
	}
	if err == nil && j.touched {
		j.punchFree(uint64(format.FirstDataAddress), j.moves.first)
	}
	return err
}

// claimed tells whether .rebuildfsck names the plan.
func (j *job) claimed() (bool, error) {
	text, err := disk.ReadSmall(j.p.FS, j.p.Path(format.RebuildName), unix.O_NOFOLLOW, maxMark)
	if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, disk.ErrTooLong) {
		return false, nil
	}
	return string(text) == j.plan.claim(), err
}

func (j *job) writeText(name, text string) error {
	return disk.WriteFileAtomic(j.p.FS, j.p.Path(name), []byte(text), 0o600)
}

// remove takes one of the volume's own files away, durably; it may be missing.
func (j *job) remove(name string) error {
	if err := j.p.FS.Remove(j.p.Path(name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	if err := j.p.FS.SyncDir(j.p.Dir); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
