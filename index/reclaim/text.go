package reclaim

import (
	"fmt"
	"io"
)

// WriteText prints the report in the original's form: the name left-justified in 30 columns, a blank, the value in 9. What the original does not
// know stands at the end.
func (r *Report) WriteText(w io.Writer) error {
	for _, l := range []struct {
		name  string
		value uint64
	}{
		{"block_allocated", r.Allocated}, {"block_not_allocated", r.NotAllocated},
		{"block_in_use", r.InUse}, {"block_not_in_use", r.NotInUse},
		{"hash_not_found", r.HashNotFound}, {"files", r.Files}, {"block_references", r.References},
	} {
		if _, err := fmt.Fprintf(w, "%-30s %9d\n", l.name, l.value); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(w, "%-30s %8.1f%%\n", "fragmentation", r.Fragmentation); err != nil {
		return err
	}
	for _, l := range []struct {
		name  string
		value uint64
		show  bool
	}{
		{"nodes_in_index", r.EntriesInIndex, true}, {"node_deleted", r.EntriesDeleted, true}, {"bytes_freed", r.BytesFreed, true},
		{"bytes_given_back", r.BytesGivenBack, true}, {"files_quarantined", r.Quarantined, r.Quarantined > 0}, {"dry_run", 1, r.DryRun},
	} {
		if !l.show {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-30s %9d\n", l.name, l.value); err != nil {
			return err
		}
	}
	return nil
}
