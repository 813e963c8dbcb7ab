package disk

import "tresor/orchestrator/internal/mountinfo"

// Mount is one line of the mount table.
type Mount = mountinfo.Mount

// Table is the mount table of this process.
type Table struct{}

// All is the whole table in the order of the kernel: of two mounts at one point the later one is seen.
func (Table) All() ([]Mount, error) { return mountinfo.Current() }

// At is type and source of what is mounted at exactly this point, "" if nothing is.
func (t Table) At(point string) (kind, source string, err error) {
	all, err := t.All()
	if err != nil {
		return "", "", err
	}
	for _, m := range all {
		if m.Point == point {
			kind, source = m.Kind, m.Source
		}
	}
	return kind, source, nil
}

// Points are the places where something of this type from this source is mounted and can be seen.
func (t Table) Points(kind, source string) ([]string, error) {
	all, err := t.All()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, m := range visible(all) {
		if m.Kind == kind && m.Source == source {
			list = append(list, m.Point)
		}
	}
	return list, nil
}

// visible leaves out what lies under a later mount at the same point.
func visible(all []Mount) (list []Mount) {
	last := map[string]int{}
	for i, m := range all {
		last[m.Point] = i
	}
	for i, m := range all {
		if last[m.Point] == i {
			list = append(list, m)
		}
	}
	return list
}
