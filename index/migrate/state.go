package migrate

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"strconv"
	"strings"

	"tresor/index/disk"
	"tresor/index/format"
)

// phase is how far a migration came.
type phase string

const (
	carrying phase = "files"  // files and index are carried over: another run starts over
	moving   phase = "blocks" // all but the block file is there, which may have its new name
	copying  phase = "copy"   // all but the block file is there, which lies on another disk and is being copied
)

// state is the content of .ddfsmigrate: two lines after a title.
type state struct {
	phase phase // empty: no migration was begun
	from  string
}

const stateTitle = "tresor migration 1\n"

// maxState bounds the file, in bytes.
const maxState = 64 << 10

func (s *state) encode() string {
	return fmt.Sprintf("%sfrom: %s\nphase: %s\n", stateTitle, strconv.Quote(s.from), s.phase)
}

// claim is what .rebuildfsck says meanwhile.
func (s *state) claim() string { return "tresor migration from " + strconv.Quote(s.from) + "\n" }

// loadState reads what an earlier run left in the destination.
func (j *job) loadState() error {
	name := j.dst.Path(format.MigrateName)
	f, err := j.dst.FS.OpenFile(name, os.O_RDONLY, 0)
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
	data := make([]byte, min(size, maxState))
	if err := disk.ReadFull(f, data, 0); err != nil {
		return err
	}
	rest, _ := strings.CutPrefix(string(data), stateTitle)
	from, to, _ := strings.Cut(rest, "\nphase: ")
	path, err := strconv.Unquote(strings.TrimPrefix(from, "from: "))
	s := state{from: path, phase: phase(strings.TrimSuffix(to, "\n"))}
	if err != nil || s.encode() != string(data) || s.phase != carrying && s.phase != moving && s.phase != copying {
		return &format.CorruptError{File: name, What: "state of a migration", Want: "what a migration of this program writes",
			Have: strconv.Quote(string(data))}
	}
	if s.from != j.src.Dir {
		return fmt.Errorf("%s holds an unfinished migration of %s: ddumbfs migrate %s %s goes on with it", j.dst.Dir, s.from, s.from, j.dst.Dir)
	}
	j.st = s
	return nil
}

// setPhase writes the state down, durably.
func (j *job) setPhase(to phase) error {
	next := state{phase: to, from: j.src.Dir}
	if err := j.write(format.MigrateName, next.encode()); err != nil {
		return err
	}
	j.st = next
	return nil
}

func (j *job) write(name, text string) error {
	return disk.WriteFileAtomic(j.dst.FS, j.dst.Path(name), []byte(text), 0o600)
}

// remove takes the destination's own files away, durably; they may be missing.
func (j *job) remove(names ...string) error {
	for _, name := range names {
		if err := j.dst.FS.Remove(j.dst.Path(name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return j.dst.FS.SyncDir(j.dst.Dir)
}

// mark closes the destination to all other tools. Its snapshots go: one is made when the blocks are known to be on the disk.
func (j *job) mark() error {
	if err := j.setPhase(carrying); err != nil {
		return err
	}
	if err := j.write(format.RebuildName, j.st.claim()); err != nil {
		return err
	}
	if err := j.write(format.DirtyName, ""); err != nil {
		return err
	}
	return j.remove(format.CleanName, format.SnapshotName, format.SnapshotRotation0, format.SnapshotRotation1)
}

// unmark opens the destination: it is complete and closed cleanly.
func (j *job) unmark() error {
	for _, name := range []string{format.DirtyName, format.RebuildName, format.MigrateName} {
		if err := j.remove(name); err != nil {
			return err
		}
	}
	return nil
}
