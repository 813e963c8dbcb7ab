package verify

import (
	"context"
	"errors"
	"io/fs"

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
			r.differs(w.Path, "missing: %s is not in the backup", w.Kind)
		} else if have != nil {
			if text := w.unlike(*have); text != "" {
				r.differs(w.Path, "%s", text)
			}
		}
	}
	for _, o := range objects {
		if !wanted[o.Path] && o.Kind != File && !r.want.More {
			r.differs(o.Path, "additional: %s that the source did not have", o.Kind)
		}
	}
}

// sources compares kinds, modes, owners and targets with the source. What is gone there is no difference: the content has the sums of the copy.
func (r *run) sources(ctx context.Context, objects []Object) {
	for _, have := range objects {
		if ctx.Err() != nil {
			return
		}
		want, err := r.want.Source.object(have.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			r.unreadable(have.Path, "source", err)
			continue
		}
		if text := want.unlike(have); text != "" {
			r.differs(have.Path, "%s", text)
		}
	}
}
