package job

import "tresor/orchestrator"

// mount is what this process knows of a job by the mount of its volume. A volume that was mounted anew may have been repaired, or come back older than it
// was: what an earlier mount has stored and proved is looked at again. It is not in the journal, since no mount outlives its process for certain.
type mount struct {
	copied orchestrator.Store // that has all of the copy, from its first byte on
	proved orchestrator.Store // by which it was read back; nil: not yet
}

// mounted is what is known of the worker's job.
func (w *worker) mounted() mount {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mounts[w.job.ID]
}

func (w *worker) setMount(m mount) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mounts[w.job.ID] = m
}

// wholly tells a verification of mode new to read all of each file where the volume is not the one that the copy was made on: entries that a repair has
// emptied are not among the blocks that were stored new.
func (w *worker) wholly(sums []orchestrator.FileSum) {
	if w.mounted().copied == w.v.Store {
		return
	}
	for i := range sums {
		sums[i].Whole = true
	}
}
