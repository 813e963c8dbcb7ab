package migrate

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
)

// phase is how far a migration came.
type phase string

const (
	carrying phase = "files"  // files and index are carried over: another run starts over
	moving   phase = "blocks" // all but the block file is there, which is being renamed: it has either name
	copying  phase = "copy"   // all but the block file is there, which is being copied
	done     phase = "done"   // all is there; at most the marks are to be removed
)

// state is the content of .ddfsmigrate in the destination: lines of quoted values after a title.
type state struct {
	phase  phase // empty: no migration was begun
	from   string
	source string // identity of the source that was carried over
	blocks string // in phase moving: identity of the block file that gets the new name
	way    How    // in phase done: what became of the block file
}

const stateTitle = "tresor migration 2\n"

// maxState bounds the file, in bytes.
const maxState = 64 << 10

func (s *state) encode() string {
	return fmt.Sprintf("%sfrom: %q\nsource: %q\nblocks: %q\nway: %q\nphase: %q\n", stateTitle, s.from, s.source, s.blocks, s.way, s.phase)
}

// decodeState reads the text back; ok only for what encode writes.
func decodeState(text string) (s state, ok bool) {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if v, err := strconv.Unquote(value); err == nil {
			found[key] = v
		}
	}
	s = state{phase: phase(found["phase"]), from: found["from"], source: found["source"], blocks: found["blocks"], way: How(found["way"])}
	return s, s.encode() == text && slices.Contains([]phase{carrying, moving, copying, done}, s.phase)
}

// claim is what .rebuildfsck says meanwhile, so that one of somebody else is not taken for ours.
func (s *state) claim() string { return "tresor migration from " + strconv.Quote(s.from) + "\n" }

// loadState reads what an earlier run left in the destination. A state without its claim is stale: the migration had not begun, or was done,
// and somebody may have used the destination since.
func (j *job) loadState() error {
	name := j.dst.Path(format.MigrateName)
	text, err := readText(j.dst, format.MigrateName)
	if text == "" || err != nil {
		return err
	}
	// A process that was killed may have left names that are in memory only. What is read here, a power cut must not take back.
	if err := j.dst.FS.SyncDir(j.dst.Dir); err != nil {
		return err
	}
	s, ok := decodeState(text)
	if !ok {
		return &format.CorruptError{File: name, What: "state of a migration", Want: "what a migration of this program writes",
			Have: strconv.Quote(text)}
	}
	if s.from != j.src.Dir {
		return fmt.Errorf("%s holds an unfinished migration of %s: ddumbfs migrate %s %s goes on with it", j.dst.Dir, s.from, quote(s.from), quote(j.dst.Dir))
	}
	mark, err := readText(j.dst, format.RebuildName)
	if err != nil {
		return err
	}
	j.st, j.claimed = s, mark == s.claim()
	if !j.claimed && (s.phase == moving || s.phase == copying) {
		return &format.CorruptError{File: j.dst.Path(format.RebuildName), What: "mark of the migration",
			Want: strconv.Quote(s.claim()), Have: "another text, or no file: it was removed by hand, or by another program, and nobody knows what else was done"}
	}
	return nil
}

// readText reads one of a volume's own files, at most maxState bytes; "" where there is none. A longer one is of class format.ErrCorrupt.
func readText(p *index.Parent, name string) (string, error) {
	data, err := disk.ReadSmall(p.FS, p.Path(name), unix.O_NOFOLLOW, maxState)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return "", nil
	case errors.Is(err, disk.ErrTooLong):
		err = format.Mark(format.ErrCorrupt, err)
	}
	return string(data), err
}

// setPhase writes the state down, durably.
func (j *job) setPhase(to phase) error {
	next := state{phase: to, from: j.src.Dir, source: j.identity}
	switch to {
	case moving:
		id, err := fileIdentity(j.src.FS, j.src.BlocksPath)
		if err != nil {
			return err
		}
		next.blocks = id
	case done:
		next.source, next.way = j.st.source, j.res.Way
	}
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
func (j *job) remove(names ...string) error { return remove(j.dst, names...) }

func remove(p *index.Parent, names ...string) error {
	for _, name := range names {
		if err := p.FS.Remove(p.Path(name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return p.FS.SyncDir(p.Dir)
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

// finish writes down that all is there, and opens both volumes.
func (j *job) finish() error {
	if err := j.setPhase(done); err != nil {
		return err
	}
	j.claimed = true
	return j.unmark()
}

// unmark opens the volumes: the destination is complete and closed cleanly. Without its claim it was open already, and may have been used.
func (j *job) unmark() error {
	if err := j.unmarkSource(); err != nil {
		return err
	}
	names := []string{format.DirtyName, format.RebuildName, format.MigrateName}
	if !j.claimed {
		names = names[2:]
	}
	for _, name := range names {
		if err := j.remove(name); err != nil {
			return err
		}
	}
	return nil
}
