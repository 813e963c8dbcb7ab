package tresor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tresor/orchestrator/config"
)

// try tells what is wrong with one key of the configuration as it stands.
func (v *setup) try(key string) error {
	if wrong := v.c.Check(outside()).Of(key); len(wrong) > 0 {
		texts := []string{}
		for _, w := range wrong {
			texts = append(texts, w.Text)
		}
		return errors.New(strings.Join(texts, "; "))
	}
	return nil
}

// text asks for a key of type string.
func (v *setup) text(question, key string, to *string) error {
	_, err := v.ask.question(question, *to, func(s string) error {
		*to = s
		return v.try(key)
	})
	return err
}

// keepEntries asks for each entry of a list whether it stays. Borg repositories that name a source that goes lose it.
func keepEntries[T any](v *setup, what string, list []T, name func(T) string) ([]T, error) {
	kept := []T{}
	for _, one := range list {
		yes, err := v.ask.yes(fmt.Sprintf("Keep the %s %s", what, name(one)), true)
		if err != nil {
			return nil, err
		}
		if yes {
			kept = append(kept, one)
		}
	}
	return kept, nil
}

func (v *setup) sources() (err error) {
	v.ask.say("\n-- What is backed up of this machine\n")
	s := &v.c.Source
	named := func(name, place string) string { return fmt.Sprintf("%q (%s)", name, place) }
	if s.Dir, err = keepEntries(v, "directories", s.Dir, func(d config.Dir) string { return named(d.Name, strings.Join(d.Paths, ", ")) }); err != nil {
		return err
	}
	if s.ZFS, err = keepEntries(v, "ZFS dataset", s.ZFS, func(z config.ZFS) string { return named(z.Name, z.Dataset) }); err != nil {
		return err
	}
	if s.Btrfs, err = keepEntries(v, "btrfs subvolume", s.Btrfs, func(b config.Btrfs) string { return named(b.Name, b.Subvolume) }); err != nil {
		return err
	}
	if s.LVM, err = keepEntries(v, "logical volume", s.LVM, func(l config.LVM) string { return named(l.Name, l.Group+"/"+l.Volume) }); err != nil {
		return err
	}
	v.forgetSources()
	for {
		kind, err := v.ask.question("Add a source: dir, zfs, btrfs, lvm, or none", "none", oneOf("dir", "zfs", "btrfs", "lvm", "none"))
		if err != nil || kind == "none" {
			return err
		}
		if err := v.addSource(kind); err != nil {
			return err
		}
	}
}

// forgetSources takes sources that are gone out of the lists of borg repositories. A list that becomes empty would mean all sources, so
// such a repository keeps the name, and the end of the conversation says that it is wrong.
func (v *setup) forgetSources() {
	there := []string{}
	for _, m := range v.c.Machines() {
		there = append(there, m.Name)
	}
	for i := range v.c.Borg {
		b := &v.c.Borg[i]
		left := slices.DeleteFunc(slices.Clone(b.Sources), func(name string) bool { return !slices.Contains(there, name) })
		if len(left) > 0 {
			b.Sources = left
		}
	}
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("want one of %s, found %q", strings.Join(words, ", "), s)
	}
}

func (v *setup) addSource(kind string) error {
	s := &v.c.Source
	var at string
	var common *config.Common
	switch kind {
	case "dir":
		s.Dir = append(s.Dir, config.NewDir())
		at, common = fmt.Sprintf("source.dir[%d]", len(s.Dir)-1), &s.Dir[len(s.Dir)-1].Common
	case "zfs":
		s.ZFS = append(s.ZFS, config.NewZFS())
		at, common = fmt.Sprintf("source.zfs[%d]", len(s.ZFS)-1), &s.ZFS[len(s.ZFS)-1].Common
	case "btrfs":
		s.Btrfs = append(s.Btrfs, config.NewBtrfs())
		at, common = fmt.Sprintf("source.btrfs[%d]", len(s.Btrfs)-1), &s.Btrfs[len(s.Btrfs)-1].Common
	case "lvm":
		s.LVM = append(s.LVM, config.NewLVM())
		at, common = fmt.Sprintf("source.lvm[%d]", len(s.LVM)-1), &s.LVM[len(s.LVM)-1].Common
	}
	if host, err := os.Hostname(); err == nil && len(v.c.Machines()) == 1 {
		common.Name = host
	}
	if err := v.text("  Name of its backups", at+".name", &common.Name); err != nil {
		return err
	}
	if err := v.placeOf(kind, at); err != nil {
		return err
	}
	return v.text("  Into the volume straight (volume) or by the buffer disk (buffer)", at+".via", &common.Via)
}

// placeOf asks where a new source, the last of its kind, is.
func (v *setup) placeOf(kind, at string) (err error) {
	s := &v.c.Source
	switch kind {
	case "dir":
		return v.paths(at, &s.Dir[len(s.Dir)-1])
	case "zfs":
		return v.text("  Dataset", at+".dataset", &s.ZFS[len(s.ZFS)-1].Dataset)
	case "btrfs":
		return v.text("  Where the subvolume is mounted", at+".subvolume", &s.Btrfs[len(s.Btrfs)-1].Subvolume)
	}
	l := &s.LVM[len(s.LVM)-1]
	if err := v.text("  Volume group", at+".group", &l.Group); err != nil {
		return err
	}
	return v.text("  Logical volume", at+".volume", &l.Volume)
}

// paths asks for at least one that exists.
func (v *setup) paths(at string, d *config.Dir) (err error) {
	d.Paths, err = v.ask.list("Directory or file", d.Paths, func(list []string) error {
		d.Paths = list
		if len(list) > 0 {
			if _, err := os.Lstat(list[len(list)-1]); filepath.IsAbs(list[len(list)-1]) && err != nil {
				return err
			}
		} else {
			return fmt.Errorf("want at least one")
		}
		return v.try(at + ".paths")
	})
	return err
}

func (v *setup) servers() (err error) {
	v.ask.say("\n-- ESXi hosts, which are backed up from the next release on\n")
	v.c.Servers, err = keepEntries(v, "server", v.c.Servers, func(s config.Server) string { return fmt.Sprintf("%q (%s)", s.Name, strings.Join(s.VMs, ", ")) })
	for err == nil {
		var yes bool
		if yes, err = v.ask.yes("Add a server", false); err != nil || !yes {
			return err
		}
		err = v.addServer()
	}
	return err
}

func (v *setup) addServer() error {
	v.c.Servers = append(v.c.Servers, config.NewServer())
	i := len(v.c.Servers) - 1
	s, at := &v.c.Servers[i], fmt.Sprintf("server[%d]", i)
	if err := v.text("  Name or address of the host", at+".host", &s.Host); err != nil {
		return err
	}
	s.Name = s.Host
	for _, q := range []struct {
		text, key string
		to        *string
	}{{"  Name of the server", ".name", &s.Name}, {"  User", ".user", &s.User}, {"  SSH key file (empty: a password)", ".ssh_key", &s.SSHKey}} {
		if err := v.text(q.text, at+q.key, q.to); err != nil {
			return err
		}
	}
	if s.SSHKey == "" {
		if err := v.password("  Password", "server-"+s.Name, at+".password_file", &s.PasswordFile); err != nil {
			return err
		}
	}
	if err := v.text("  Address of this machine, as the host sees it", at+".backup_ip", &s.BackupIP); err != nil {
		return err
	}
	var err error
	s.VMs, err = v.ask.list("Virtual machine", s.VMs, func(list []string) error {
		s.VMs = list
		return v.try(at + ".vms")
	})
	return err
}
