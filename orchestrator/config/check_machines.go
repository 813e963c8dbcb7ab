package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"tresor/orchestrator"
)

// Machine is what is backed up under one name.
type Machine struct {
	*Common
	Kind string // dir, zfs, btrfs, lvm
	At   string // its table, for messages
}

// Machines are all sources of this machine, kind by kind, each in the order of the file.
func (c *Config) Machines() (list []Machine) {
	add := func(m *Common, kind string, i int) {
		list = append(list, Machine{m, kind, index("source."+kind, i)})
	}
	for i := range c.Source.Dir {
		add(&c.Source.Dir[i].Common, "dir", i)
	}
	for i := range c.Source.ZFS {
		add(&c.Source.ZFS[i].Common, "zfs", i)
	}
	for i := range c.Source.Btrfs {
		add(&c.Source.Btrfs[i].Common, "btrfs", i)
	}
	for i := range c.Source.LVM {
		add(&c.Source.LVM[i].Common, "lvm", i)
	}
	return list
}

var (
	datasetName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.: -]*(/[A-Za-z0-9_.: -]+)*$`)
	lvmName     = regexp.MustCompile(`^[A-Za-z0-9_.+][A-Za-z0-9_.+-]*$`)
	lvmSize     = regexp.MustCompile(`^([1-9][0-9]*[kKmMgGtT]|([1-9]|[1-9][0-9]|100)%(ORIGIN|FREE|VG)|thin)$`)
)

func (k *checker) checkSources() {
	for _, m := range k.c.Machines() {
		k.name(join(m.At, "name"), m.Name)
		k.oneOf(join(m.At, "via"), m.Via, ViaVolume, ViaBuffer)
		if m.Via == ViaBuffer && k.c.Paths.Buffer == "" {
			k.mistake(join(m.At, "via"), "paths.buffer is missing, so nothing goes by the buffer")
		}
		k.patterns(join(m.At, "exclude"), m.Exclude)
		k.hours(join(m.At, "blocked_hours"), m.BlockedHours)
		k.keep(join(m.At, "retention"), m.Retention)
	}
	for i := range k.c.Source.Dir {
		k.checkDir(index("source.dir", i), &k.c.Source.Dir[i])
	}
	once := map[string]string{}
	for i, z := range k.c.Source.ZFS {
		at := join(index("source.zfs", i), "dataset")
		if !datasetName.MatchString(z.Dataset) {
			k.mistake(at, "want a dataset such as rpool/data, found %q", z.Dataset)
		}
		k.unique(once, at, z.Dataset, "dataset")
	}
	for i, b := range k.c.Source.Btrfs {
		at := index("source.btrfs", i)
		k.absolute(join(at, "subvolume"), b.Subvolume, false)
		k.absolute(join(at, "snapshots"), b.Snapshots, true)
		k.unique(once, join(at, "subvolume"), b.Subvolume, "subvolume")
	}
	for i, l := range k.c.Source.LVM {
		at := index("source.lvm", i)
		for key, name := range map[string]string{"group": l.Group, "volume": l.Volume} {
			if !lvmName.MatchString(name) {
				k.mistake(join(at, key), "want a name of LVM, found %q", name)
			}
		}
		k.unique(once, join(at, "volume"), l.Group+"/"+l.Volume, "logical volume")
		if !lvmSize.MatchString(l.SnapshotSize) {
			k.mistake(join(at, "snapshot_size"), "want a size such as 5G, a share such as 10%%ORIGIN, or thin, found %q", l.SnapshotSize)
		}
	}
}

func (k *checker) checkDir(at string, d *Dir) {
	if len(d.Paths) == 0 {
		k.mistake(at, "paths is missing; want at least one directory or file")
	}
	ours := []string{orchestrator.RecordFile, orchestrator.ManifestFile, orchestrator.SumsFile, orchestrator.SourceSums, orchestrator.FailureMark}
	for i, p := range d.Paths {
		here := index(join(at, "paths"), i)
		k.absolute(here, p, false)
		for j, other := range d.Paths[:i] {
			if below(p, other) || below(other, p) {
				k.mistake(here, "%s would be in the backup twice, by %s as well", p, d.Paths[j])
			}
		}
		for _, mount := range []string{k.c.Paths.VolumeMount, k.c.Paths.SecondMount} {
			if below(p, mount) {
				k.mistake(here, "%s lies in %s, where volumes are mounted: a volume is no source", p, mount)
			} else if below(mount, p) && !d.OneFileSystem {
				k.mistake(here, "%s holds %s, where volumes are mounted; one_file_system = true leaves that out", p, mount)
			}
		}
		if slices.Contains(ours, strings.TrimPrefix(p, "/")) {
			k.mistake(here, "%s is the name of a file that we put into every backup", p)
		}
	}
}

func (k *checker) checkServers() {
	servers := map[string]string{}
	for i := range k.c.Servers {
		s, at := &k.c.Servers[i], index("server", i)
		if k.name(join(at, "name"), s.Name) {
			k.unique(servers, join(at, "name"), s.Name, "name of a server")
		}
		if s.Host == "" || strings.ContainsAny(s.Host, " /@") {
			k.mistake(join(at, "host"), "want a name or an address, found %q", s.Host)
		}
		k.between(join(at, "port"), s.Port, 1, 65535)
		if s.User == "" {
			k.mistake(join(at, "user"), "a user is missing")
		}
		k.secretFile(join(at, "password_file"), s.PasswordFile)
		k.absolute(join(at, "ssh_key"), s.SSHKey, true)
		switch {
		case s.PasswordFile != "" && s.SSHKey != "":
			k.mistake(join(at, "ssh_key"), "%s and this exclude each other", k.place(join(at, "password_file")))
		case s.PasswordFile == "" && s.SSHKey == "":
			k.mistake(at, "want password_file or ssh_key")
		}
		if s.BackupIP != "" && net.ParseIP(s.BackupIP) == nil {
			k.mistake(join(at, "backup_ip"), "want an IP address, found %q", s.BackupIP)
		}
		k.oneOf(join(at, "driver"), s.Driver, "native", "lamw")
		if s.DirectRuns != nil {
			k.between(join(at, "direct_runs_before_async"), *s.DirectRuns, -1, 1000)
		}
		k.keep(join(at, "retention"), s.Retention)
		k.checkVMs(at, s)
	}
	if len(k.c.Servers) > 0 {
		k.note("server", "ESXi hosts are backed up from the next release on")
	}
}

func (k *checker) checkVMs(at string, s *Server) {
	for name, vm := range s.VM {
		here := join(join(at, "vm"), name)
		if !slices.Contains(s.VMs, name) {
			text := fmt.Sprintf("the server has no machine %q in vms", name)
			if near := nearest(name, s.VMs); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
			k.mistake(here, "%s", text)
		}
		k.hours(join(here, "blocked_hours"), vm.BlockedHours)
		k.keep(join(here, "retention"), vm.Retention)
	}
}

// sshAddress tells whether a repository is on another machine: ssh:// or, as scp, HOST:PATH.
func sshAddress(u string) bool {
	host, _, ok := strings.Cut(u, ":")
	return strings.HasPrefix(u, "ssh://") || ok && host != "" && !strings.Contains(host, "/")
}

func (k *checker) checkBorg() {
	names, prefixes := map[string]string{}, map[string]string{}
	for i := range k.c.Borg {
		b, at := &k.c.Borg[i], index("borg", i)
		if k.name(join(at, "name"), b.Name) {
			k.unique(names, join(at, "name"), b.Name, "name of a repository")
		}
		if b.URL == "" || strings.HasPrefix(b.URL, "-") || !sshAddress(b.URL) && !strings.HasPrefix(b.URL, "/") {
			k.mistake(join(at, "url"), "want an absolute path, or an address such as ssh://user@host:22/./repository, found %q", b.URL)
		}
		k.oneOf(join(at, "encryption"), b.Encryption, "none", "authenticated", "authenticated-blake2", "repokey", "repokey-blake2", "keyfile", "keyfile-blake2")
		k.secretFile(join(at, "passphrase_file"), b.PassphraseFile)
		if b.Encryption == "none" && b.PassphraseFile != "" {
			k.mistake(join(at, "passphrase_file"), "encryption = \"none\" and this exclude each other")
		} else if b.Encryption != "none" && b.PassphraseFile == "" {
			k.mistake(at, "passphrase_file is missing; encryption = %q needs one", b.Encryption)
		}
		k.absolute(join(at, "ssh_key"), b.SSHKey, true)
		k.absolute(join(at, "known_hosts"), b.KnownHosts, true)
		if b.SSHKey != "" && !sshAddress(b.URL) {
			k.mistake(join(at, "ssh_key"), "the repository is on this machine; want no key")
		}
		k.checkBorgRules(at, b, prefixes)
	}
}

func (k *checker) checkBorgRules(at string, b *Borg, prefixes map[string]string) {
	if b.Prefix == "" || strings.ContainsAny(b.Prefix, "/*?[]{}: \t\n") {
		k.mistake(join(at, "prefix"), "want a beginning of names without blanks, slashes and * ? [ ] { } :, found %q", b.Prefix)
	}
	for seen, other := range prefixes { // pruning by one prefix would prune the archives of the other
		url, prefix, _ := strings.Cut(seen, "\x00")
		if url == b.URL && (strings.HasPrefix(prefix, b.Prefix) || strings.HasPrefix(b.Prefix, prefix)) {
			k.mistake(join(at, "prefix"),
				"%q and %q of the same repository at %s: the archives of one would be pruned by the rules of the other", b.Prefix, prefix, other)
		}
	}
	prefixes[b.URL+"\x00"+b.Prefix] = at
	for key, n := range map[string]int{"daily": b.Daily, "weekly": b.Weekly, "monthly": b.Monthly, "yearly": b.Yearly} {
		k.between(join(at, key), n, 0, most)
	}
	if b.VerifyData && !b.Check {
		k.mistake(join(at, "verify_data"), "check = false and this exclude each other")
	}
	if b.Program == "" {
		k.mistake(join(at, "program"), "want the name or path of borg, found %q", b.Program)
	}
	k.timeBetween(join(at, "timeout"), b.Timeout, time.Minute, 30*day)
	machines := []string{}
	for _, m := range k.c.Machines() {
		machines = append(machines, m.Name)
	}
	for i, name := range b.Sources {
		if slices.Contains(machines, name) {
			continue
		}
		text := fmt.Sprintf("there is no source %q", name)
		if near := nearest(name, machines); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		k.mistake(index(join(at, "sources"), i), "%s", text)
	}
	if b.Encryption == "none" {
		k.note(join(at, "encryption"), "whoever has the repository can read and change it")
	}
}
