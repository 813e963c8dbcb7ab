package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/internal/mountinfo"
)

// system plays zfs, LVM and the kernel: it keeps which snapshots and mounts there are, records every command line, and fails where it is told to.
type system struct {
	t         *testing.T
	lines     []string
	patience  []time.Duration // of each line
	snapshots []string        // full names: tank/data@x, vg0/x
	mounts    []mountinfo.Mount
	origin    string            // of LVM snapshots made by us
	attr      map[string]string // of an LVM snapshot, if not sound
	fails     func(argv []string) (did bool, err error)
	onCommand func(argv []string)
}

func (s *system) run(ctx context.Context, c Command) ([]byte, error) {
	s.lines, s.patience = append(s.lines, strings.Join(c.Argv, " ")), append(s.patience, c.Patience)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.onCommand != nil {
		s.onCommand(c.Argv)
	}
	if s.fails != nil {
		if did, err := s.fails(c.Argv); err != nil {
			if did {
				s.do(c.Argv)
			}
			return nil, err
		}
	}
	return s.do(c.Argv), nil
}

func (s *system) do(argv []string) []byte {
	last := argv[len(argv)-1]
	switch argv[0] + " " + argv[1] {
	case "zfs snapshot":
		s.snapshots = append(s.snapshots, last)
	case "zfs list":
		var b bytes.Buffer
		for _, n := range s.snapshots {
			fmt.Fprintln(&b, n)
		}
		return b.Bytes()
	case "zfs destroy":
		s.snapshots = slices.DeleteFunc(s.snapshots, func(n string) bool { return n == last })
	case "lvcreate --snapshot":
		s.snapshots = append(s.snapshots, filepath.Dir(last)+"/"+argv[slices.Index(argv, "--name")+1])
	case "lvs --reportformat":
		return s.lvs()
	case "lvremove --yes":
		s.snapshots = slices.DeleteFunc(s.snapshots, func(n string) bool { return n == last })
	case "blkid --probe":
		return []byte("xfs\n")
	case "mount -t":
		s.mounts = append(s.mounts, mounted(argv[len(argv)-2], last))
	case "umount " + last:
		i := slices.IndexFunc(s.mounts, func(m mountinfo.Mount) bool { return m.Point == last })
		if i < 0 {
			s.t.Errorf("umount %s: it is not mounted", last)
			return nil
		}
		s.mounts = slices.Delete(s.mounts, i, i+1)
	default:
		s.t.Errorf("command %q: nobody knows it", argv)
	}
	return nil
}

// mounted is how the kernel tells a mount of a snapshot.
func mounted(device, point string) mountinfo.Mount {
	if group, name, ok := strings.Cut(strings.TrimPrefix(device, "/dev/"), "/"); ok && strings.HasPrefix(device, "/dev/") {
		device = "/dev/mapper/" + group + "-" + strings.ReplaceAll(name, "-", "--")
	}
	return mountinfo.Mount{Point: point, ReadOnly: true, Source: device, Root: "/"}
}

func (s *system) lvs() []byte {
	var rows []string
	for _, n := range s.snapshots {
		group, name, _ := strings.Cut(n, "/")
		attr := s.attr[name]
		if attr == "" {
			attr = "swi-aos---"
		}
		rows = append(rows, fmt.Sprintf(`{"vg_name":%q, "lv_name":%q, "origin":%q, "lv_attr":%q}`, group, name, s.origin, attr))
	}
	return []byte("  {\n      \"report\": [\n          {\n              \"lv\": [\n" + strings.Join(rows, ",\n") + "\n              ]\n          }\n      ]\n  }\n")
}

// quick is a clock whose Sleep takes no time.
type quick struct{ slept time.Duration }

func (q *quick) Now() time.Time { return time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC) }

func (q *quick) Sleep(ctx context.Context, d time.Duration) error {
	q.slept += d
	return ctx.Err()
}

// otherID is none that a place with constant randomness gives.
const otherID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

// constant is randomness that is none: each id is one higher than the last.
type constant struct{ n byte }

func (c *constant) Read(b []byte) (int, error) {
	clear(b)
	b[len(b)-1] = c.n
	c.n++
	return len(b), nil
}

// newPlace makes a place in a temporary directory whose commands go to the played system.
func newPlace(t *testing.T) (*Place, *system) {
	t.Helper()
	s := &system{t: t, origin: "data"}
	p, err := NewPlace(PlaceOptions{Dir: filepath.Join(t.TempDir(), "place"), Run: s.run, Clock: &quick{}, Rand: &constant{n: 10}})
	if err != nil {
		t.Fatal(err)
	}
	p.mounts = func() ([]mountinfo.Mount, error) { return slices.Clone(s.mounts), nil }
	return p, s
}

func zfsSource(t *testing.T, p *Place) *Snapshot {
	t.Helper()
	s, err := NewZFS(p, "dc", Options{Exclude: []string{"*.tmp"}}, "tank/data")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func lvmSource(t *testing.T, p *Place, v LVMVolume) *Snapshot {
	t.Helper()
	s, err := NewLVM(p, "dc", Options{}, v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failAt makes every command fail whose beginning is given. did: it does its work all the same, as one that was killed late.
func failAt(did bool, beginnings ...string) func([]string) (bool, error) {
	return func(argv []string) (bool, error) {
		for _, b := range beginnings {
			if strings.HasPrefix(strings.Join(argv, " "), b) {
				return did, errors.New("dataset is busy")
			}
		}
		return false, nil
	}
}
