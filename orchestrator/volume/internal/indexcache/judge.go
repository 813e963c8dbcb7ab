package indexcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Action is what is done about the local index.
type Action string

// The actions.
const (
	Keep    Action = "keep"    // it is used as it is
	Import  Action = "import"  // From is copied over it
	Rebuild Action = "rebuild" // it is moved away, if there is one, and an empty file laid there; the engine makes a new one
)

// Verdict is an action with its reason.
type Verdict struct {
	Do    Action
	From  string // of an import
	Check bool   // the volume is to be checked
	Why   string // for people
}

// judge looks at everything and changes nothing. vol is the mark of the volume, nil if there is none that can be read.
func (j *job) judge(ctx context.Context) (v Verdict, vol *Mark, err error) {
	vol, err = readMark(j.parent, volumeMark, j.ID)
	if errors.Is(err, errDamaged) {
		v, err = j.unmarked()
		v.Why = "the volume's generation file is damaged: " + v.Why
		return v, nil, err
	}
	if err != nil {
		return v, nil, err
	}
	switch {
	case vol == nil:
		v, err = j.unmarked()
	case !vol.Complete:
		v, err = j.unfinished(ctx, vol)
	default:
		v, err = j.closed(ctx, vol)
	}
	return v, vol, err
}

// unmarked: the volume was never mounted by this program. Nothing can be proved, so it is checked, once; the check begins with the youngest index.
func (j *job) unmarked() (Verdict, error) {
	type candidate struct {
		path string
		info fs.FileInfo
	}
	var best *candidate
	for _, path := range []string{j.Local(), j.Config, j.Copy()} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return Verdict{}, err
		}
		if best == nil || info.ModTime().After(best.info.ModTime()) {
			best = &candidate{path, info}
		}
	}
	switch {
	case best == nil:
		return Verdict{Do: Rebuild, Check: true, Why: "there is no index"}, nil
	case best.path == j.Local():
		return Verdict{Do: Keep, Check: true, Why: "the volume has no generation file; the local index is the youngest"}, nil
	}
	return Verdict{Do: Import, From: best.path, Check: true, Why: "the volume has no generation file; this index is the youngest"}, nil
}

// unfinished: a session was not closed.
func (j *job) unfinished(ctx context.Context, vol *Mark) (Verdict, error) {
	local, err := j.localMark()
	if err != nil {
		return Verdict{}, err
	}
	if local == nil || local.Session != vol.Session {
		return j.fromCopy(ctx, fmt.Sprintf("generation %d was not closed on %s, and its index is not here", vol.Generation, vol.Host))
	}
	have, err := j.there(j.dir)
	if err != nil {
		return Verdict{}, err
	}
	if have && local.Complete {
		if have, err = j.matches(ctx, j.dir, local); err != nil {
			return Verdict{}, err
		}
	}
	if !have {
		return j.fromCopy(ctx, fmt.Sprintf("generation %d was not closed, and the local index is missing or damaged", vol.Generation))
	}
	// The engine's own mark proves that nobody else has used the volume since. Without it the crash was after the engine had closed the volume, or another
	// program has repaired it.
	_, ours, err := j.inUse()
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{Do: Keep, Check: vol.CheckOwed || local.CheckOwed || !ours, Why: fmt.Sprintf("generation %d was not closed here", vol.Generation)}, nil
}

// closed: the sum of the right index is known.
func (j *job) closed(ctx context.Context, vol *Mark) (Verdict, error) {
	local, err := j.matches(ctx, j.dir, vol)
	if err != nil {
		return Verdict{}, err
	}
	now, err := traces(j.Place)
	if err != nil {
		return Verdict{}, err
	}
	if !sameTraces(now, vol.Traces) {
		return j.foreign(ctx, vol, local)
	}
	if local {
		copied, err := readMark(j.parent, j.name()+markSuffix, j.ID)
		if err != nil && !errors.Is(err, errDamaged) {
			return Verdict{}, err
		}
		if copied == nil || copied.Session != vol.Session {
			return Verdict{Do: Keep, Why: fmt.Sprintf("generation %d; the copy on the volume is older", vol.Generation)}, nil
		}
		return Verdict{Do: Keep, Why: fmt.Sprintf("generation %d", vol.Generation)}, nil
	}
	state, err := j.localState(vol)
	if err != nil {
		return Verdict{}, err
	}
	copied, err := j.matches(ctx, j.parent, vol)
	if err != nil {
		return Verdict{}, err
	}
	if copied {
		return Verdict{Do: Import, From: j.Copy(), Why: fmt.Sprintf("generation %d of %s; the local index is %s", vol.Generation, vol.Host, state)}, nil
	}
	return j.fromCopy(ctx, fmt.Sprintf("the local index is %s, and the copy on the volume is missing, older or damaged; generation %d", state, vol.Generation))
}

// fromCopy: the right index is nowhere. An older copy on the volume that is what its mark says saves the check the work of making all anew: it holds against it
// what the files say, hashes what differs and what is younger, and drops what no file refers to.
func (j *job) fromCopy(ctx context.Context, why string) (Verdict, error) {
	copied, err := readMark(j.parent, j.name()+markSuffix, j.ID)
	if err != nil && !errors.Is(err, errDamaged) {
		return Verdict{}, err
	}
	if copied != nil && copied.Sum != "" {
		if ok, err := j.matches(ctx, j.parent, copied); err != nil || ok {
			return Verdict{Do: Import, From: j.Copy(), Check: true,
				Why: fmt.Sprintf("%s; the check begins with the copy of generation %d, made %s", why, copied.Generation, copied.When.Format(time.RFC3339))}, err
		}
	}
	return Verdict{Do: Rebuild, Check: true, Why: why}, nil
}

// foreign: somebody else has used the volume since we closed it. An index that is still ours is too old; one that changed since may be right.
func (j *job) foreign(ctx context.Context, vol *Mark, localOurs bool) (Verdict, error) {
	why := fmt.Sprintf("another program has used the volume since generation %d was closed", vol.Generation)
	if j.Config != "" && j.Config != j.Local() {
		if info, err := os.Stat(j.Config); err == nil && info.Mode().IsRegular() && info.ModTime().After(vol.When) {
			return Verdict{Do: Import, From: j.Config, Check: true, Why: why + ", with its configured index"}, nil
		}
	}
	copyThere, err := j.there(j.parent)
	if err != nil {
		return Verdict{}, err
	}
	copyOurs, err := j.matches(ctx, j.parent, vol)
	if err != nil {
		return Verdict{}, err
	}
	localThere, err := j.there(j.dir)
	switch {
	case err != nil:
		return Verdict{}, err
	case copyThere && !copyOurs && (localOurs || !localThere):
		return Verdict{Do: Import, From: j.Copy(), Check: true, Why: why + ", and has changed the copy on the volume"}, nil
	case localThere && !localOurs && (copyOurs || !copyThere):
		return Verdict{Do: Keep, Check: true, Why: why + ", and has changed the local index"}, nil
	}
	return Verdict{Do: Rebuild, Check: true, Why: why}, nil
}

// localState says what the local index is that is not the right one.
func (j *job) localState(vol *Mark) (string, error) {
	have, err := j.there(j.dir)
	if err != nil || !have {
		return "missing", err
	}
	local, err := j.localMark()
	switch {
	case err != nil:
		return "", err
	case local == nil:
		return "of unknown origin", nil
	case local.Generation < vol.Generation:
		return fmt.Sprintf("older (generation %d)", local.Generation), nil
	case local.Session == vol.Session:
		return "damaged", nil
	}
	return fmt.Sprintf("of another past (generation %d on %s)", local.Generation, strings.TrimSpace(local.Host)), nil
}

func (j *job) localMark() (*Mark, error) {
	m, err := readMark(j.dir, j.name()+markSuffix, j.ID)
	if errors.Is(err, errDamaged) {
		return nil, nil
	}
	return m, err
}

func (j *job) there(root *os.Root) (bool, error) {
	_, err := root.Lstat(j.name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
