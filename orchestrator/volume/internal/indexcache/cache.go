package indexcache

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Place says where things are.
type Place struct {
	Parent string // directory of the volume
	Blocks string // its block file
	Dir    string // of the indexes of this machine; made if it is missing
	ID     string // of the volume; the index is ID.idx
	Config string // index file that the volume's configuration names, absolute; "" for none. One that is there is taken over if nothing else is known
}

// Local is the index in use.
func (p Place) Local() string { return filepath.Join(p.Dir, p.name()) }

// Copy is the one on the volume.
func (p Place) Copy() string { return filepath.Join(p.Parent, p.name()) }

func (p Place) name() string { return p.ID + ".idx" }

// Cache makes the marks. It has no state.
type Cache struct {
	Clock  orchestrator.Clock
	Random io.Reader
	Host   string // for people
	// Step is called before each step that changes something, for tests; an error ends the work there, as a crash would. nil: nothing.
	Step func(name string) error
}

// Plan is how a volume is mounted.
type Plan struct {
	Verdict Verdict
	Index   string // of MountOptions; it is empty if a new one has to be made, and then Check is set
	Check   bool   // of MountOptions
	Session bool   // a session was begun; Close ends it
}

// job has both directories open.
type job struct {
	*Cache
	Place
	parent, dir *os.Root
}

func (c *Cache) open(p Place) (*job, error) {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of the indexes: %w", err)
	}
	parent, err := os.OpenRoot(p.Parent)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(p.Dir)
	if err != nil {
		return nil, errors.Join(err, parent.Close())
	}
	return &job{Cache: c, Place: p, parent: parent, dir: dir}, nil
}

func (j *job) close() error { return errors.Join(j.parent.Close(), j.dir.Close()) }

// step is a place where a test may stop the work, and where the end of the context does.
func (j *job) step(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("index of volume %s, before %s: %w", j.ID, name, context.Cause(ctx))
	}
	if j.Step != nil {
		return j.Step(name)
	}
	return nil
}

// Open decides which index the volume is mounted with, puts it in place, and begins a session. A mount that is read-only has one only if it has to repair.
// check asks for a check in any case.
func (c *Cache) Open(ctx context.Context, p Place, readOnly, check bool) (plan Plan, err error) {
	j, err := c.open(p)
	if err != nil {
		return Plan{}, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	v, vol, err := j.judge(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("index of volume %s: %w", p.ID, err)
	}
	plan = Plan{Verdict: v, Index: p.Local(), Check: v.Check || check}
	if err := j.prepare(ctx, v, vol); err != nil {
		return Plan{}, fmt.Errorf("index of volume %s: %w", p.ID, err)
	}
	dirty, _, err := j.inUse()
	if err != nil {
		return Plan{}, err
	}
	if readOnly && !plan.Check && !dirty {
		return plan, nil
	}
	plan.Session = true
	if err := j.begin(ctx, v, vol, plan.Check); err != nil {
		return Plan{}, fmt.Errorf("index of volume %s: %w", p.ID, err)
	}
	return plan, nil
}

// inUse looks at the engine's mark of a volume that was not closed: is there one, and is it of a mount of ours? The predecessor leaves the file empty.
func (j *job) inUse() (marked, ours bool, err error) {
	text, err := statefile.Read(j.parent, ".autofsck", markLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	return true, bytes.Contains(text, []byte("tresor session")), err
}

// prepare puts the index in place that the verdict chose. (step 1)
func (j *job) prepare(ctx context.Context, v Verdict, vol *Mark) error {
	if v.Do == Keep {
		return nil
	}
	if err := j.step(ctx, "forget the local mark"); err != nil {
		return err
	}
	if err := statefile.Remove(j.dir, j.name()+markSuffix); err != nil { // it is about what is replaced
		return err
	}
	if v.Do == Rebuild {
		if err := j.step(ctx, "move the local index away"); err != nil {
			return err
		}
		err := j.dir.Rename(j.name(), j.name()+".unusable") // kept, one generation: somebody may want to look
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// The engine refuses to mount without an index, lest a disk that is not mounted costs one. It makes one anew that is empty.
		return statefile.ReplaceBytes(j.dir, j.name(), 0o600, nil)
	}
	if err := j.step(ctx, "import"); err != nil {
		return err
	}
	from, err := os.Open(v.From)
	if err != nil {
		return err
	}
	defer from.Close() // it was read only
	size, sum, err := j.replace(ctx, j.dir, from)
	if err != nil {
		return fmt.Errorf("import %s: %w", v.From, err)
	}
	if vol == nil || !vol.Complete || v.Check { // nothing to compare it with
		return nil
	}
	if size != vol.Size || sum != vol.Sum {
		return fmt.Errorf("import %s: it changed while it was read: %d bytes with the sum %s, want %d with %s", v.From, size, sum, vol.Size, vol.Sum)
	}
	local := *vol
	local.Traces = nil
	return writeMark(j.dir, j.name()+markSuffix, local)
}

// begin opens the marks. (steps 2 and 3) A session that a crash left open is gone on with.
func (j *job) begin(ctx context.Context, v Verdict, vol *Mark, check bool) error {
	m := Mark{Volume: j.ID, Generation: 1, When: j.Clock.Now().UTC(), Host: j.Host, CheckOwed: check}
	if vol != nil {
		m.Generation = vol.Generation + 1
	}
	if v.Do == Keep && vol != nil && !vol.Complete {
		m.Generation, m.Session, m.CheckOwed = vol.Generation, vol.Session, check || vol.CheckOwed
	} else {
		var name [16]byte
		if _, err := io.ReadFull(j.Random, name[:]); err != nil {
			return fmt.Errorf("name of a session: %w", err)
		}
		m.Session = hex.EncodeToString(name[:])
	}
	if err := j.step(ctx, "open the local mark"); err != nil {
		return err
	}
	if err := writeMark(j.dir, j.name()+markSuffix, m); err != nil {
		return err
	}
	if err := j.step(ctx, "open the volume's mark"); err != nil {
		return err
	}
	return writeMark(j.parent, volumeMark, m)
}
