package verify

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"tresor/orchestrator"
)

// run is one verification.
type run struct {
	v     *Verifier
	store orchestrator.Store
	dir   string
	want  Wanted
	mode  string
	// giveUp ends the context of this verification.
	giveUp context.CancelCauseFunc
	skip   map[orchestrator.Path]bool // files that need not be read: their content is judged under another name, or they are missing
	moved  map[orchestrator.Path]bool // files of a living source that were changed since they were copied, and need not be read there

	mu     sync.Mutex // guards the rest while files are read; a leaf, nothing is waited for under it
	out    orchestrator.Verification
	failed int // differences that are something which could not be read
	rot    int // files of the buffer that changed after they were copied
}

// note lists a difference. Those that cannot be read come with failed.
func (r *run) note(d orchestrator.Difference, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Differences++
	if failed {
		r.failed++
	}
	if d.Have != nil && len(d.Have.Segments) > maxSegments {
		d.Have.Segments = nil
	}
	if len(r.out.Differ) < maxDiffer {
		r.out.Differ = append(r.out.Differ, d)
	}
}

func (r *run) differs(p orchestrator.Path, format string, args ...any) {
	r.note(orchestrator.Difference{Path: p, Reason: fmt.Sprintf(format, args...)}, false)
}

func (r *run) unreadable(p orchestrator.Path, side string, err error) {
	if gone(err) {
		r.giveUp(err)
	}
	r.note(orchestrator.Difference{Path: p, Reason: side + " cannot be read: " + err.Error()}, true)
}

// changed lists what was changed in the source since it was copied.
func (r *run) changed(p orchestrator.Path, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Changes++
	if len(r.out.Changed) < maxChanged {
		r.out.Changed = append(r.out.Changed, orchestrator.Difference{Path: p, Reason: fmt.Sprintf(format, args...)})
	}
}

// files hands all files to read, some at the same time; their threads are in the idle class of I/O if that is asked for.
func (r *run) files(ctx context.Context, gently bool, read func(ctx context.Context, w *orchestrator.FileSum)) {
	work := make(chan *orchestrator.FileSum)
	var workers sync.WaitGroup
	for range r.v.o.Workers {
		workers.Go(func() {
			if gently {
				if err := idle(); err != nil {
					r.v.o.Note(err.Error())
				}
			}
			for w := range work {
				if r.v.o.Gate(ctx) != nil {
					continue // Verify tells
				}
				read(ctx, w)
				if r.hopeless() {
					r.giveUp(errEnough)
				}
			}
		})
	}
feed:
	for i := range r.want.Files {
		if r.skip[r.want.Files[i].Path] {
			continue
		}
		select {
		case work <- &r.want.Files[i]:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	workers.Wait()
}

func (r *run) hopeless() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed >= maxUnreadable
}

// copied compares the content of the copy of a file.
func (r *run) copied(ctx context.Context, w *orchestrator.FileSum) {
	if !r.readsAll(w) && r.fresh(ctx, w) {
		return
	}
	h, back, err := r.whole(ctx, w)
	if !r.proved(ctx, w, back, err) {
		return
	}
	have := h.sum(w)
	if text := differ(w, &have); text != "" {
		r.note(orchestrator.Difference{Path: w.Path, Reason: "copy: " + text, Have: &have}, false)
	}
}

// whole reads all of a file. After a long pause it is begun again.
func (r *run) whole(ctx context.Context, w *orchestrator.FileSum) (*hasher, orchestrator.ReadBack, error) {
	for {
		if err := r.v.o.Gate(ctx); err != nil {
			return nil, orchestrator.ReadBack{}, err
		}
		h := r.v.hasher(ctx, w)
		h.hold = r.v.o.Hold
		back, err := r.store.ReadBack(ctx, r.name(w), h, nil)
		if !h.held {
			return h, back, err
		}
	}
}

// name is the path of a file for the store.
func (r *run) name(w *orchestrator.FileSum) string { return filepath.Join(r.dir, string(w.Path)) }

// proved counts what was read, and lists what was not, or is not what was stored.
func (r *run) proved(ctx context.Context, w *orchestrator.FileSum, back orchestrator.ReadBack, err error) bool {
	if ctx.Err() != nil && err != nil {
		return false // Verify tells, or hopeless does
	}
	r.mu.Lock()
	r.out.Read += back.Blocks
	r.mu.Unlock()
	switch {
	case len(back.Bad) > 0:
		text := "copy: the disk holds other bytes than were stored: " + blocks(back.Bad)
		if err != nil {
			text += ": " + err.Error()
		}
		r.note(orchestrator.Difference{Path: w.Path, Reason: text, Bad: back.Bad}, false)
	case err != nil:
		r.unreadable(w.Path, "copy", err)
	default:
		return true
	}
	return false
}

// blocks is a list of runs for people; a long one is cut.
func blocks(list []orchestrator.Blocks) string {
	var text []string
	for i, b := range list {
		if i == 5 {
			text = append(text, fmt.Sprintf("%d more", len(list)-i))
			break
		}
		if b.Count == 1 {
			text = append(text, fmt.Sprintf("block %d", b.First))
		} else {
			text = append(text, fmt.Sprintf("blocks %d to %d", b.First, b.First+b.Count-1))
		}
	}
	return strings.Join(text, ", ")
}
