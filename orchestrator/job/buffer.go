package job

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tresor/orchestrator"
	"tresor/orchestrator/job/internal/copier"
)

// BufferList is what a backup on the buffer was when it was made.
type BufferList struct {
	Files []orchestrator.FileSum // those with SegmentSize 0 have only size and cksum
	More  bool                   // there may be others as well: the predecessor's lists are not whole
	// Partial is what it lacks of its source: so does its copy.
	Partial []string
}

// errNotAsFilled is a backup on the buffer that is not what was backed up.
var errNotAsFilled = errors.New("the backup on the buffer is not what was backed up")

// asFilled compares what was read from the buffer with what was put there. Otherwise a buffer that rots, or loses files, would be copied faithfully, and
// called verified. After an error nothing of the copy is believed: the next attempt reads all of it once more. What the buffer lacks, the copy lacks.
func (w *worker) asFilled(ctx context.Context, result *copier.Result) error {
	if w.job.Buffer == "" {
		return nil
	}
	filled, err := w.opts.OnBuffer(w.job)
	if err != nil {
		return fmt.Errorf("what %s was when it was made: %w", w.job.Buffer, errors.Join(errNotAsFilled, err))
	}
	if filled == nil {
		return nil
	}
	if err := filled.compare(result.Sums); err != nil {
		return errors.Join(err, w.tree.remove(ctx, w.partial()), w.resetLog())
	}
	result.Partial = slices.Concat(filled.Partial, result.Partial)
	return nil
}

// compare returns the first difference.
func (f *BufferList) compare(sums []orchestrator.FileSum) error {
	have := make(map[orchestrator.Path]*orchestrator.FileSum, len(sums))
	for i := range sums {
		have[sums[i].Path] = &sums[i]
	}
	for i := range f.Files {
		want := &f.Files[i]
		s := have[want.Path]
		delete(have, want.Path)
		switch {
		case s == nil:
			return fmt.Errorf("%w: %q is missing", errNotAsFilled, want.Path)
		case s.Size != want.Size || s.Cksum != want.Cksum:
			return fmt.Errorf("%w: %q has %d bytes with cksum %d, want %d with %d", errNotAsFilled, want.Path, s.Size, s.Cksum, want.Size, want.Cksum)
		case want.SegmentSize > 0 && s.XXH64 != want.XXH64:
			return fmt.Errorf("%w: %q has XXH64 %016x, want %016x", errNotAsFilled, want.Path, s.XXH64, want.XXH64)
		}
	}
	for path := range have {
		if !f.More {
			return fmt.Errorf("%w: %q was not there", errNotAsFilled, path)
		}
	}
	return nil
}
