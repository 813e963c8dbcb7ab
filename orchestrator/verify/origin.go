package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"tresor/orchestrator"
)

// Origin is what a backup was made of, as far as it can be looked at again. The zero value cannot.
type Origin struct {
	Roots Roots
	// Live says that Roots do not stand still, as snapshots and the buffer do, and Begun when the copy of them was begun.
	Live  bool
	Begun time.Time
	// Filled is the manifest of a backup on the buffer; nil: it has none.
	Filled *Manifest
}

// FromBuffer is a backup on the buffer: dir, an absolute path. One without a manifest was made by something else than us. One that is gone cannot be looked
// at again, and its copy is proved by the sums.
func FromBuffer(dir string) (Origin, error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return Origin{}, nil
	}
	o := Origin{Roots: Roots{{Path: dir, Name: ".", NoFollow: true}}}
	m, err := ReadManifest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return Origin{}, fmt.Errorf("backup on the buffer: %w", err)
	}
	o.Filled = &m
	return o, nil
}

// put enters it into what a backup has to be.
func (o Origin) put(w *Wanted) {
	if o.Roots == nil {
		w.Again = false
		return
	}
	w.Source, w.Live, w.Since, w.Filled = o.Roots, o.Live, o.Begun, o.Filled
	if o.Filled != nil {
		w.Objects = o.Filled.Objects
	}
}

// rotten is an event that tells of a buffer that rots.
func rotten(backup string, v orchestrator.Verification) orchestrator.Event {
	e := orchestrator.Event{Severity: orchestrator.Warning, Kind: orchestrator.VerifyFailed, Subject: "the buffer lost something of " + backup + " after it was copied",
		Advice: "The copy on the volume was held against what the buffer was filled with, and is sound. Check the memory and the disk of the buffer."}
	for _, d := range v.Changed {
		e.Body += fmt.Sprintf("%q: %s\n", d.Path, d.Reason)
	}
	if machine, _, err := orchestrator.ParseBackupName(backup); err == nil {
		e.Machine = machine
	}
	return e
}
