package volume

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/internal/statefile"
	"tresor/orchestrator/volume/internal/indexcache"
)

// MakeHow says how a new, empty volume is made. Zero values are the engine's defaults.
type MakeHow struct {
	// GiveUp is the name of the volume whose content is given up, for a disk that has one already. The file system of the disk stays, and everything on it but
	// the volume: the cure for fragmentation.
	GiveUp    string
	Size      int64 // of the block file in bytes
	Percent   int   // or in percent of the disk, 1 to 100; less if there would be no room for two copies of the index
	BlockSize int   // bytes; 0 in place of an old volume: as that
	Hash      string
}

// Files of a disk on which a volume is made.
const (
	makeJournal = ".tresor-make"
	makeLog     = "reinit.log"
	givenUp     = ".given-up" // behind the name of the parent that is removed
)

// making is the journal. Until the old parent is renamed nothing has happened; from then on the work is brought to its end, after a crash by the next mount.
type making struct {
	ID        string    `json:"id"`
	When      time.Time `json:"when"`
	Volume    string    `json:"volume"` // id of the volume, as in the name of its index
	Stage     string    `json:"stage"`
	Size      int64     `json:"size"`
	Percent   int       `json:"percent,omitempty"`
	BlockSize int       `json:"block_size"`
	Hash      string    `json:"hash"`
	Over      bool      `json:"over"`            // there was a volume
	Index     string    `json:"index,omitempty"` // traces of the index that was made, as indexTraces has them; "": it is not known
}

// The stages of a making.
const (
	stageBegun   = "begun"   // nothing is lost yet, unless the parent has its new name
	stageCleared = "cleared" // the old volume is given up; whatever is in the parent is ours
	stageMade    = "made"    // the new volume is whole
)

// Make makes an empty volume on the disk of the settings' volume name, and leaves the disk mounted or not as it was. A disk that has a volume is refused,
// unless GiveUp says its name; without GiveUp so is one that has anything else on it but what a new file system has. One whose volume is mounted, or open in a
// process, is refused in any case. A making that was cut off is brought to its end first; if it was that of a first volume nothing more is done.
func (m *Manager) Make(ctx context.Context, name string, h MakeHow) error {
	v, err := m.spec(name)
	if err == nil && (h.Percent < 0 || h.Percent > 100 || h.Size < 0 || h.Size > 0 && h.Percent > 0) {
		err = fmt.Errorf("size %d and %d percent: want one of them, and a percentage up to 100", h.Size, h.Percent)
	}
	if err == nil && h.GiveUp != "" && h.GiveUp != name {
		err = fmt.Errorf("%q is to be given up, and not this one", h.GiveUp)
	}
	if err == nil {
		_, err = own(ctx, m, "make the volume", func(ctx context.Context) (struct{}, error) { return struct{}{}, m.makeOn(ctx, v, h) })
	}
	if err != nil {
		return fmt.Errorf("make volume %q: %w", name, err)
	}
	return nil
}

// makeOn mounts the disk, makes the volume, and undoes the former.
func (m *Manager) makeOn(ctx context.Context, v *Spec, h MakeHow) (err error) {
	ctx, end := within(ctx, m.o.Deadlines.Mount, "make the volume")
	defer end()
	m.begin(v.Name)
	st := m.look(ctx, v)
	if st.Point != "" {
		return fmt.Errorf("%s: unmount it first", st.Note)
	}
	dir, err := m.raiseDisk(ctx, v)
	if st.Disk == "" {
		defer func() {
			err = errors.Join(err, m.undoDisk(ctx, v, dir))
			m.set(v.Name, m.observe(ctx, v), "", err)
		}()
	}
	if err != nil {
		return err
	}
	parent, err := m.parentOf(ctx, v, dir)
	if err != nil {
		return err
	}
	owned, err := m.owned(ctx, parent)
	if err == nil && owned {
		err = fmt.Errorf("%s is open in another process", parent)
	}
	if err != nil {
		return err
	}
	made, err := m.recoverMake(ctx, v, dir)
	if err != nil || made && h.GiveUp == "" {
		return err
	}
	return m.make(ctx, v, dir, h) // its steps look at ctx: the turn is not over before it has ended
}

// make begins the journal and gives the old volume up.
func (m *Manager) make(ctx context.Context, v *Spec, dir string, h MakeHow) error {
	j := making{When: m.o.Clock.Now().UTC(), Stage: stageBegun, Size: h.Size, Percent: h.Percent, BlockSize: h.BlockSize, Hash: h.Hash}
	var err error
	if j.Over, err = m.inTheWay(v, dir, h.GiveUp != ""); err != nil {
		return err
	}
	if j.Over {
		likeTheOld(&j, filepath.Join(dir, v.Parent, configFile))
	}
	var id [8]byte
	if _, err := io.ReadFull(m.o.Random, id[:]); err != nil {
		return err
	}
	j.ID = hex.EncodeToString(id[:])
	if j.Volume, err = m.nameDisk(v, dir); err != nil {
		return err
	}
	if err := m.indexFree(ctx, m.place("", j.Volume)); err != nil { // it would be removed
		return err
	}
	if err := m.indexRoom(dir, &j); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() // nothing is written through it any more
	if err := m.save(ctx, root, &j, stageBegun); err != nil {
		return err
	}
	if j.Over {
		if err := m.step(ctx, "give up"); err != nil {
			return err
		}
		if err := root.Rename(v.Parent, v.Parent+givenUp); err != nil {
			return err
		}
		if err := statefile.Sync(root, filepath.Dir(v.Parent)); err != nil {
			return err
		}
	}
	if err := m.save(ctx, root, &j, stageCleared); err != nil {
		return err
	}
	return m.finishMake(ctx, v, root, &j)
}

// step is where the end of a context, or a test, stops the work.
func (m *Manager) step(ctx context.Context, before string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("before %s: %w", before, context.Cause(ctx))
	}
	if m.stop != nil {
		return m.stop(before)
	}
	return nil
}

// save writes the journal.
func (m *Manager) save(ctx context.Context, root *os.Root, j *making, stage string) error {
	if err := m.step(ctx, "journal: "+stage); err != nil {
		return err
	}
	j.Stage = stage
	data, err := json.MarshalIndent(j, "", "\t")
	if err != nil {
		return err
	}
	return statefile.ReplaceBytes(root, makeJournal, 0o600, data)
}

// recoverMake brings a making to its end that a crash has cut off after the old volume was given up; one that was cut off before is forgotten. made: there
// is a volume by it. A disk that does not answer is not waited for, but work that was begun is: it must not go on when the turn of the caller is over.
func (m *Manager) recoverMake(ctx context.Context, v *Spec, dir string) (made bool, err error) {
	stepCtx, endStep := within(ctx, m.o.Deadlines.Step, "look for a making that was cut off")
	defer endStep()
	journal := filepath.Join(dir, makeJournal)
	if _, err := deadline.Run(stepCtx, "look for "+journal, func() (os.FileInfo, error) { return os.Lstat(journal) }); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	ctx, end := within(ctx, m.o.Deadlines.Mount, "make the volume")
	defer end()
	return m.recover(ctx, v, dir)
}

func (m *Manager) recover(ctx context.Context, v *Spec, dir string) (made bool, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close() // nothing is written through it any more
	data, err := statefile.Read(root, makeJournal, configSize)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var j making
	if err := json.Unmarshal(data, &j); err != nil || j.Volume == "" {
		return false, errors.Join(err, fmt.Errorf("%s: it is damaged; a volume was being made on this disk: make it again, or remove the file if the volume is whole",
			filepath.Join(dir, makeJournal)))
	}
	if j.Stage == stageBegun {
		switch _, err := root.Lstat(v.Parent + givenUp); {
		case errors.Is(err, fs.ErrNotExist): // nothing has happened yet
			return false, statefile.Remove(root, makeJournal)
		case err != nil:
			return false, err
		}
		if err := m.save(ctx, root, &j, stageCleared); err != nil {
			return false, err
		}
	}
	if err := m.indexFree(ctx, m.place("", j.Volume)); err != nil {
		return false, err
	}
	return true, m.finishMake(ctx, v, root, &j)
}

// finishMake removes what was given up, makes the volume, and forgets the journal. It can be repeated from its beginning after a crash. A volume that is there
// already stays: the engine writes its settings last, so it is whole, and if we did not make it somebody else has, after ours had failed. The marks of a volume that is
// as it was made are set only beside the very index that was made with it: the disk may have come from another machine. Without marks the first mount checks it.
func (m *Manager) finishMake(ctx context.Context, v *Spec, root *os.Root, j *making) error {
	parent := filepath.Join(root.Name(), v.Parent)
	place := m.place(parent, j.Volume)
	if j.Stage == stageCleared {
		if err := m.step(ctx, "remove"); err != nil {
			return err
		}
		if err := root.RemoveAll(v.Parent + givenUp); err != nil {
			return err
		}
		switch _, err := root.Lstat(filepath.Join(v.Parent, configFile)); {
		case errors.Is(err, fs.ErrNotExist):
			if err = m.makeEmpty(ctx, v, root, j, place); err != nil {
				return err
			}
			if j.Index, err = indexTraces(place); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if err := m.save(ctx, root, j, stageMade); err != nil {
			return err
		}
	}
	if err := m.step(ctx, "log"); err != nil {
		return err
	}
	if j.Over {
		if err := appendLog(root, j); err != nil {
			return err
		}
	}
	if err := m.step(ctx, "marks"); err != nil {
		return err
	}
	have, err := indexTraces(place)
	if err != nil {
		return err
	}
	var warning error
	if have != "" && have == j.Index {
		if warning, err = m.cache.Adopt(ctx, *place); err != nil {
			return err
		}
	}
	if err := m.step(ctx, "forget the journal"); err != nil {
		return err
	}
	m.o.Log(Transition{Time: m.o.Clock.Now(), Volume: v.Name, From: DiskMounted, To: DiskMounted, Note: "an empty volume was made", Err: warning})
	return statefile.Remove(root, makeJournal)
}

// makeEmpty makes the volume where there is none.
func (m *Manager) makeEmpty(ctx context.Context, v *Spec, root *os.Root, j *making, place *indexcache.Place) error {
	if err := m.step(ctx, "make empty"); err != nil {
		return err
	}
	if err := errors.Join(root.RemoveAll(v.Parent), root.MkdirAll(v.Parent, 0o755)); err != nil {
		return err
	}
	if err := m.step(ctx, "forget the index"); err != nil {
		return err
	}
	if err := m.cache.Forget(*place); err != nil {
		return err
	}
	size, err := m.sizeOf(root.Name(), j)
	if err != nil {
		return err
	}
	o := orchestrator.MakeOptions{Parent: place.Parent, Index: place.Local(), Size: size, BlockSize: j.BlockSize, Hash: j.Hash}
	if err := m.o.Engine.Make(ctx, o); err != nil {
		return err
	}
	j.Size = size
	return nil
}

// indexTraces tells one index file of this machine from others, and from itself after a change; "": there is none.
func indexTraces(place *indexcache.Place) (string, error) {
	info, err := os.Lstat(place.Local())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes, %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

// appendLog writes the line of a making that replaced a volume, once.
func appendLog(root *os.Root, j *making) error {
	old, err := statefile.Read(root, makeLog, 64<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.Contains(string(old), " "+j.ID+"\n") {
		return nil
	}
	line := fmt.Sprintf("%s reinit of volume %s, %d bytes, by tresor %s\n", j.When.Format(time.RFC3339), j.Volume, j.Size, j.ID)
	return statefile.ReplaceBytes(root, makeLog, 0o644, append(old, line...))
}
