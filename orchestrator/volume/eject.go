package volume

import (
	"context"
	"fmt"
	"time"
)

// putAwayTime is how long a disk that is not needed any more is waited for.
const putAwayTime = 10 * time.Second

// putAway unmounts the other connected disks, so that they can be taken away, and says which can be. A disk that carries a mounted volume stays, as does
// one that is used; a directory that somebody else mounts is none of ours.
func (m *Manager) putAway(ctx context.Context, s *Switched) {
	for i := range m.o.Volumes {
		v := &m.o.Volumes[i]
		if s.Now != nil && v.Name == s.Now.Name || !v.Disk.Ours() {
			continue
		}
		why, err := m.putAwayOne(ctx, v)
		switch {
		case err != nil:
			s.Kept = append(s.Kept, v.Name+": "+err.Error())
		case why != "":
			s.Kept = append(s.Kept, v.Name+": "+why)
		default:
			if st := m.look(ctx, v); st.Ejectable {
				s.Ejectable = append(s.Ejectable, v.Name)
			} else if st.State != Absent {
				s.Kept = append(s.Kept, v.Name+": "+st.Note)
			}
		}
	}
}

// putAwayOne unmounts the disk of a volume that is not in use. why says what keeps it.
func (m *Manager) putAwayOne(ctx context.Context, v *Spec) (why string, err error) {
	ctx, end := within(ctx, m.o.Deadlines.Step, "put the disk away")
	defer end()
	st := m.look(ctx, v)
	switch {
	case st.Note != "" && st.Disk == "":
		return st.Note, nil
	case st.Disk == "":
		return "", nil
	case st.Point != "":
		return st.Note, nil
	}
	err = m.patiently(ctx, st.Disk, putAwayTime, func(ctx context.Context) error { return v.Disk.Unmount(ctx, st.Disk) })
	if err != nil {
		return "", err
	}
	st = m.look(ctx, v)
	m.set(v.Name, st.State, "unmounted, so that it can be taken away", nil)
	return st.Note, nil
}

// Eject unmounts the disk of a volume that is not in use, so that it can be taken away. One that carries a mounted volume is an error, as is one that is used
// by something else.
func (m *Manager) Eject(ctx context.Context, name string) error {
	v, err := m.spec(name)
	if err != nil {
		return err
	}
	if !v.Disk.Ours() {
		return fmt.Errorf("eject volume %q: its directory is mounted by somebody else", name)
	}
	why, err := own(ctx, m, "eject", func(ctx context.Context) (string, error) { return m.putAwayOne(ctx, v) })
	if err == nil && why != "" {
		return fmt.Errorf("eject volume %q: %s", name, why)
	}
	return err
}
