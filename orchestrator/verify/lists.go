package verify

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"tresor/orchestrator"
)

// lists compares what lies in the backup with the lists of what should.
func (r *run) lists(objects []Object) {
	r.skip = map[orchestrator.Path]bool{}
	found := make(map[orchestrator.Path]*Object, len(objects))
	for i := range objects {
		found[objects[i].Path] = &objects[i]
	}
	files := make(map[orchestrator.Path]bool, len(r.want.Files))
	for i := range r.want.Files {
		w := &r.want.Files[i]
		if files[w.Path] {
			r.differs(w.Path, "it is in the list of files twice")
		}
		files[w.Path] = true
		r.file(w, found)
	}
	for _, o := range objects {
		switch {
		case o.Kind != File || files[o.Path]:
		case !r.want.More:
			r.differs(o.Path, "additional: a file that the source did not have")
		case !noSum(o.Path):
			r.note(orchestrator.Difference{Path: o.Path, Reason: "no sum: " + orchestrator.SumsFile + " has no line of it, so that nothing proves it"}, true)
		}
	}
	if r.want.Objects != nil {
		r.objects(objects, found)
	}
}

// file compares what can be compared without reading.
func (r *run) file(w *orchestrator.FileSum, found map[orchestrator.Path]*Object) {
	have := found[w.Path]
	switch {
	case have == nil:
		r.differs(w.Path, "missing: it is not in the backup")
	case have.Kind != File:
		r.differs(w.Path, "kind: wanted a file, found %s", have.Kind)
	case have.size != w.Size:
		r.differs(w.Path, "size: wanted %d, found %d", w.Size, have.size)
	case w.Link == "":
		r.time(w, have)
		return
	default:
		first := found[w.Link]
		if first != nil && first.dev == have.dev && first.ino == have.ino {
			break // one file, that is read under the other name
		}
		r.differs(w.Path, "link: wanted another name of %q, found a file of its own", w.Link)
		return // its content is compared all the same
	}
	r.skip[w.Path] = true
}

// time compares the time of a file with that of its source, where no list of objects has it.
func (r *run) time(w *orchestrator.FileSum, have *Object) {
	if r.want.Objects == nil && !sameTime(w.Mtime, have.Mtime) {
		r.kept(w.Path, "time: wanted %s, found %s", w.Mtime.UTC().Format(time.RFC3339Nano), have.Mtime.Format(time.RFC3339Nano))
	}
}

// kept lists what a copy has not kept of its source, without its content: a difference, unless the copy says itself that it is not whole.
func (r *run) kept(p orchestrator.Path, format string, args ...any) {
	if r.want.Partial {
		r.changed(p, "the copy is not whole: "+format, args...)
		return
	}
	r.differs(p, format, args...)
}

// readsAll tells whether all of a file is read: what mode new needs to know of it is not always known.
func (r *run) readsAll(w *orchestrator.FileSum) bool {
	return r.mode == ModeFull || w.Whole || w.SegmentSize <= 0
}

// objects compares everything that is not content.
func (r *run) objects(objects []Object, found map[orchestrator.Path]*Object) {
	wanted := make(map[orchestrator.Path]bool, len(r.want.Objects))
	for _, w := range r.want.Objects {
		wanted[w.Path] = true
		have := found[w.Path]
		if have == nil && w.Kind != File { // files have been looked for
			r.kept(w.Path, "missing: %s is not in the backup", w.Kind)
		} else if have != nil {
			if text := w.unlike(*have); text != "" {
				r.kept(w.Path, "%s", text)
			}
		}
	}
	for _, o := range objects {
		if !wanted[o.Path] && o.Kind != File && !r.want.More {
			r.differs(o.Path, "additional: %s that the source did not have", o.Kind)
		}
	}
}

// sources compares kinds, modes, owners, times, attributes and targets with the source. What is gone there is no difference: the content has the sums of
// the copy.
func (r *run) sources(ctx context.Context, objects []Object) {
	r.moved = map[orchestrator.Path]bool{}
	for _, have := range objects {
		if ctx.Err() != nil {
			return
		}
		want, err := r.want.Source.object(have.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil && r.want.Live:
			r.moved[have.Path] = true
			r.changed(have.Path, "the source cannot be looked at any more: %v", err)
			continue
		case err != nil:
			r.unreadable(have.Path, "source", err)
			continue
		}
		r.against(want, have)
	}
}

// against compares one object of the copy with its source.
func (r *run) against(want, have Object) {
	if r.want.Live && want.Kind == Dir {
		want.Mtime = time.Time{} // each file that comes or goes changes it
	}
	text := want.unlike(have)
	moved := want.Kind != have.Kind || want.Kind == File && (want.size != have.size || !sameTime(want.Mtime, have.Mtime))
	switch {
	case text == "":
	case r.want.Live && (moved || r.touched(want.ctime)):
		r.moved[have.Path] = moved
		r.changed(have.Path, "the source was changed since it was copied: %s", text)
	default:
		r.kept(have.Path, "%s", text)
	}
}

// tick is how far the time that a kernel gives to changes lies behind its clock, at most.
const tick = time.Second

// touched tells whether something of a living source that was changed at that time may have been changed since the copy was begun.
func (r *run) touched(changed time.Time) bool { return !changed.Before(r.want.Since.Add(-tick)) }
