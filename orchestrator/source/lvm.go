package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Thin is the Size of snapshots of thin volumes, which take their room from the pool.
const Thin = "thin"

// LVMVolume is a logical volume to be read by a snapshot.
type LVMVolume struct {
	Group, Name string
	Size        string // room for what changes while the snapshot is there: 5G, 10%ORIGIN; Thin or empty for a thin volume
	FileSystem  string // ext4, xfs, …; empty: blkid finds it out
}

// lvm makes snapshots of one logical volume.
type lvm struct {
	run Runner
	v   LVMVolume
}

// NewLVM is the source of a logical volume with a file system. It needs lvm2 and blkid. A snapshot whose room was not enough is lost: reading it
// fails, and its token is not found again.
func NewLVM(p *Place, machine string, o Options, v LVMVolume) (*Snapshot, error) {
	form := regexp.MustCompile(`^[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$`)
	for _, n := range []string{v.Group, v.Name} {
		if !form.MatchString(n) || n == "." || n == ".." || len(n) > 127 {
			return nil, fmt.Errorf("source %s: volume %q of group %q: want names of LVM (letters, digits, _ + . -)", machine, v.Name, v.Group)
		}
	}
	if v.Size == "" {
		v.Size = Thin
	}
	if v.Size != Thin && sizeFlag(v.Size) == "" {
		return nil, fmt.Errorf("source %s: room of the snapshot %q: want a size (5G), a share (10%%ORIGIN) or %s", machine, v.Size, Thin)
	}
	if !regexp.MustCompile(`^[a-z0-9]*$`).MatchString(v.FileSystem) {
		return nil, fmt.Errorf("source %s: file system %q: want its name, such as ext4", machine, v.FileSystem)
	}
	if o.Name == "" {
		o.Name = v.Group + "/" + v.Name
	}
	return newSnapshot(p, machine, o, &lvm{p.run, v})
}

// sizeFlag is the option of lvcreate that takes such a size; empty: none does.
func sizeFlag(size string) string {
	switch {
	case regexp.MustCompile(`^[0-9]+(\.[0-9]+)?[bBsSkKmMgGtTpPeE]?$`).MatchString(size):
		return "--size"
	case regexp.MustCompile(`^[0-9]{1,3}%(ORIGIN|VG|FREE|PVS)$`).MatchString(size):
		return "--extents"
	}
	return ""
}

func (l *lvm) kind() string { return "lvm" }

// create makes a snapshot that can be written, because mounting may have to replay a journal.
func (l *lvm) create(ctx context.Context, name string) error {
	argv := []string{"lvcreate", "--snapshot", "--setactivationskip", "n", "--name", name}
	if l.v.Size != Thin {
		argv = []string{"lvcreate", "--snapshot", sizeFlag(l.v.Size), l.v.Size, "--name", name}
	}
	_, err := l.run(ctx, Command{Argv: append(argv, l.v.Group+"/"+l.v.Name), Deadline: commandTime, Patience: patience})
	return err
}

func (l *lvm) list(ctx context.Context) ([]found, error) {
	out, err := l.run(ctx, Command{Argv: []string{"lvs", "--reportformat", "json", "--options", "vg_name,lv_name,origin,lv_attr", l.v.Group}})
	if err != nil {
		return nil, err
	}
	return parseLVS(l.v.Group, l.v.Name, out)
}

// parseLVS reads the report of lvs and returns the snapshots of ours and of exactly this volume. The fifth letter of the attributes is the state; what is
// not active (a) cannot be mounted, and a snapshot that ran full is invalid (I).
func parseLVS(group, volume string, out []byte) (list []found, err error) {
	var doc struct {
		Report []struct {
			LV []struct {
				Group  string `json:"vg_name"`
				Name   string `json:"lv_name"`
				Origin string `json:"origin"`
				Attr   string `json:"lv_attr"`
			} `json:"lv"`
		} `json:"report"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read the report of lvs: %w", err)
	}
	if len(doc.Report) == 0 {
		return nil, errors.New("read the report of lvs: it has no list of volumes")
	}
	for _, r := range doc.Report {
		for _, v := range r.LV {
			if v.Group == group && v.Origin == volume && isOurs(v.Name) {
				list = append(list, found{v.Name, len(v.Attr) < 5 || v.Attr[4] != 'a'})
			}
		}
	}
	return list, nil
}

func (l *lvm) device(name string) string { return "/dev/" + l.v.Group + "/" + name }

// mount tells XFS that a file system with the same UUID is meant to be there. btrfs knows no such option and mixes the two up.
func (l *lvm) mount(ctx context.Context, name, dir string) error {
	kind := l.v.FileSystem
	if kind == "" {
		out, err := l.run(ctx, Command{Argv: []string{"blkid", "--probe", "--output", "value", "--match-tag", "TYPE", l.device(name)}})
		if err != nil {
			return err
		}
		kind = strings.TrimSpace(string(out))
	}
	options := mountOptions
	switch kind {
	case "":
		return fmt.Errorf("look at %s: no file system found", l.device(name))
	case "xfs":
		options += ",nouuid"
	case "btrfs":
		return fmt.Errorf("look at %s: a snapshot of LVM with btrfs on it cannot be mounted beside its origin: use a source of kind btrfs", l.device(name))
	}
	_, err := l.run(ctx, Command{Argv: []string{"mount", "-t", kind, "-o", options, l.device(name), dir}})
	return err
}

func (l *lvm) destroy(ctx context.Context, name string) error {
	_, err := l.run(ctx, Command{Argv: []string{"lvremove", "--yes", l.v.Group + "/" + name}, Deadline: commandTime, Patience: patience})
	return err
}
