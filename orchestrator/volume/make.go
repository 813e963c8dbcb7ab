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

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/internal/statefile"
)

// MakeHow says how a new, empty volume is made. Zero values are the engine's defaults.
type MakeHow struct {
	// GiveUp is the name of the volume whose content is given up, for a disk that has one already. The file system of the disk stays, and everything on it but
	// the volume: the cure for fragmentation.
	GiveUp    string
	Size      int64 // of the block file in bytes
	Percent   int   // or in percent of the disk, 1 to 100
	BlockSize int   // bytes
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
	BlockSize int       `json:"block_size"`
	Hash      string    `json:"hash"`
	Over      bool      `json:"over"` // there was a volume
}

// The stages of a making.
const (
	stageBegun   = "begun"   // nothing is lost yet, unless the parent has its new name
	stageCleared = "cleared" // the old volume is given up; whatever is in the parent is ours
	stageMade    = "made"    // the new volume is whole
)

// Make makes an empty volume on the disk of the settings' volume name, and leaves the disk mounted or not as it was. A disk that has a volume is refused,
// unless GiveUp says its name; so is one whose volume is mounted.
func (m *Manager) Make(ctx context.Context, name string, h MakeHow) (err error) {
	v, err := m.spec(name)
	if err != nil {
		return err
	}
	if h.Percent < 0 || h.Percent > 100 || h.Size < 0 || h.Size > 0 && h.Percent > 0 {
		return fmt.Errorf("make volume %q: size %d and %d percent: want one of them, and a percentage up to 100", name, h.Size, h.Percent)
	}
	ctx, end := within(ctx, m.o.Deadlines.Mount, "make the volume")
	defer end()
	done, err := m.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	if st := m.status(ctx, v); st.Point != "" {
		return fmt.Errorf("make volume %q: %s: unmount it first", name, st.Note)
	}
	_, before, err := v.Disk.Look(ctx)
	if err != nil {
		return fmt.Errorf("make volume %q: %w", name, err)
	}
	dir, err := m.raiseDisk(ctx, v)
	if before == "" {
		defer func() {
			if err = errors.Join(err, m.undoDisk(ctx, v, dir)); err == nil {
				m.set(v.Name, Ejectable, "", nil)
			}
		}()
	}
	if err == nil {
		err = m.recoverMake(ctx, v, dir)
	}
	if err == nil {
		err = deadline.Do(ctx, "make the volume", func() error { return m.make(ctx, v, dir, h) })
	}
	if err != nil {
		return fmt.Errorf("make volume %q: %w", name, err)
	}
	return nil
}

// make begins the journal and gives the old volume up.
func (m *Manager) make(ctx context.Context, v *Spec, dir string, h MakeHow) error {
	parent := filepath.Join(dir, v.Parent)
	old, err := os.ReadDir(parent)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(old) > 0 && h.GiveUp != v.Name:
		return fmt.Errorf("%s is not empty: its content would be lost; give its name %q as the one that is given up", parent, v.Name)
	}
	j := making{When: m.o.Clock.Now().UTC(), Stage: stageBegun, Size: h.Size, BlockSize: h.BlockSize, Hash: h.Hash, Over: len(old) > 0}
	var id [8]byte
	if _, err := io.ReadFull(m.o.Random, id[:]); err != nil {
		return err
	}
	j.ID = hex.EncodeToString(id[:])
	if j.Volume, err = m.nameDisk(v, dir); err != nil {
		return err
	}
	if h.Percent > 0 {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return fmt.Errorf("size of the disk at %s: %w", dir, err)
		}
		j.Size = int64(st.Blocks) / 100 * int64(h.Percent) * st.Bsize
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

// nameDisk returns the id of the volume that is made, and writes it to the disk if nothing there says it.
func (m *Manager) nameDisk(v *Spec, dir string) (string, error) {
	g := &ground{dir: dir}
	if err := g.identify(v, ""); err != nil {
		return "", err
	}
	if g.id == "" { // a directory of somebody else
		var id [16]byte
		if _, err := io.ReadFull(m.o.Random, id[:]); err != nil {
			return "", err
		}
		h := hex.EncodeToString(id[:])
		g.id = strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close() // statefile has synced what it wrote
	keys, err := readKeys(filepath.Join(dir, diskInfo))
	if err == nil && keys["UUID"] != "" {
		return g.id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return g.id, statefile.ReplaceBytes(root, diskInfo, 0o644, []byte("UUID: "+g.id+"\n"))
}

// recoverMake brings a making to its end that a crash has cut off after the old volume was given up; one that was cut off before is forgotten.
func (m *Manager) recoverMake(ctx context.Context, v *Spec, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() // nothing is written through it any more
	data, err := statefile.Read(root, makeJournal, configSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var j making
	if err := json.Unmarshal(data, &j); err != nil || j.Volume == "" {
		return errors.Join(err, fmt.Errorf("%s: it is damaged; a volume was being made on this disk: make it again, or remove the file if the volume is whole",
			filepath.Join(dir, makeJournal)))
	}
	if j.Stage == stageBegun {
		switch _, err := root.Lstat(v.Parent + givenUp); {
		case errors.Is(err, fs.ErrNotExist): // nothing has happened yet
			return statefile.Remove(root, makeJournal)
		case err != nil:
			return err
		}
		if err := m.save(ctx, root, &j, stageCleared); err != nil {
			return err
		}
	}
	return m.finishMake(ctx, v, root, &j)
}

// finishMake removes what was given up, makes the volume, and forgets the journal. It can be repeated from its beginning after a crash.
func (m *Manager) finishMake(ctx context.Context, v *Spec, root *os.Root, j *making) error {
	ctx, end := within(ctx, m.o.Deadlines.Mount, "make the volume")
	defer end()
	parent := filepath.Join(root.Name(), v.Parent)
	place := m.place(parent, j.Volume)
	if j.Stage == stageCleared {
		if err := m.step(ctx, "remove"); err != nil {
			return err
		}
		err := deadline.Do(ctx, "remove the old volume", func() error {
			if err := errors.Join(root.RemoveAll(v.Parent+givenUp), root.RemoveAll(v.Parent), root.MkdirAll(v.Parent, 0o755)); err != nil {
				return err
			}
			return m.cache.Forget(*place)
		})
		if err != nil {
			return err
		}
		o := orchestrator.MakeOptions{Parent: parent, Index: place.Local(), Size: j.Size, BlockSize: j.BlockSize, Hash: j.Hash}
		if err := m.o.Engine.Make(ctx, o); err != nil {
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
	warning, err := m.cache.Adopt(ctx, *place)
	if err != nil {
		return err
	}
	if err := m.step(ctx, "forget the journal"); err != nil {
		return err
	}
	m.o.Log(Transition{Time: m.o.Clock.Now(), Volume: v.Name, From: DiskMounted, To: DiskMounted, Note: "an empty volume was made", Err: warning})
	return statefile.Remove(root, makeJournal)
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
