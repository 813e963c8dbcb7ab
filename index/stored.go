package index

import "slices"

// Stored adds the blocks of the last Put, by their number in it and in order, that the volume did not have when it began: those that it has
// stored, and those that somebody else was storing at the same time. Nobody can have proved them before.
func (w *Writer) Stored(to []int) []int {
	first := len(to)
	for _, f := range w.fresh {
		to = append(to, f.i)
	}
	for _, wt := range w.waits {
		to = append(to, wt.i)
	}
	if len(w.waits) > 0 {
		slices.Sort(to[first:])
	}
	return to
}
