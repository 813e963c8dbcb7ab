package config

import "time"

// Ways of a source into the volume.
const (
	ViaVolume = "volume" // copied straight from the source
	ViaBuffer = "buffer" // first to the buffer disk, then by a job
)

// Sources are what this machine backs up of itself. A list of each kind; names are unique over all of them and the virtual machines.
type Sources struct {
	Dir   []Dir   `toml:"dir"`
	ZFS   []ZFS   `toml:"zfs"`
	Btrfs []Btrfs `toml:"btrfs"`
	LVM   []LVM   `toml:"lvm"`
}

// Common is what all sources have.
type Common struct {
	Name          string   `toml:"name"` // of its backups; any UTF-8 without '/' and NUL
	Via           string   `toml:"via"`
	Exclude       []string `toml:"exclude"`         // patterns of path/filepath.Match
	OneFileSystem bool     `toml:"one_file_system"` // do not go into what is mounted below
	BlockedHours  *Hours   `toml:"blocked_hours"`
	Retention     *Keep    `toml:"retention"`
	SkipVerify    bool     `toml:"skip_verify"`
}

// Dir is one or several directories or files as they are.
type Dir struct {
	Common
	Paths []string `toml:"paths"`
}

// ZFS is one dataset, by a snapshot. Datasets below it are not in it.
type ZFS struct {
	Common
	Dataset string `toml:"dataset"`
}

// Btrfs is one subvolume, by a read-only snapshot.
type Btrfs struct {
	Common
	Subvolume string `toml:"subvolume"` // where it is mounted
	Snapshots string `toml:"snapshots"` // directory of the same file system for our snapshots; empty: .tresor in the subvolume
}

// LVM is one logical volume, by a snapshot that is mounted read-only.
type LVM struct {
	Common
	Group        string `toml:"group"`
	Volume       string `toml:"volume"`
	SnapshotSize string `toml:"snapshot_size"` // room for what changes meanwhile, as lvcreate takes it: 5G, 10%ORIGIN; "thin": a thin volume needs none
	FileSystem   string `toml:"file_system"`   // empty: found out
}

// Hours are whole hours of the day, both inclusive, in which a machine is not backed up. To before From goes over midnight.
type Hours struct {
	From int `toml:"from"`
	To   int `toml:"to"`
}

// Blocks tells whether hour, 0 to 23, is blocked. No hours at all block none; From equal to To blocks exactly that hour.
func (h *Hours) Blocks(hour int) bool {
	switch {
	case h == nil:
		return false
	case h.To >= h.From:
		return h.From <= hour && hour <= h.To
	}
	return hour >= h.From || hour <= h.To
}

// Borg is a repository of BorgBackup that gets the sources as well.
type Borg struct {
	Name           string        `toml:"name"`
	URL            string        `toml:"url"`
	Encryption     string        `toml:"encryption"` // as borg init takes it
	PassphraseFile string        `toml:"passphrase_file"`
	SSHKey         string        `toml:"ssh_key"`
	KnownHosts     string        `toml:"known_hosts"` // the only file of host keys that is believed; empty: those of the user and the system
	Init           bool          `toml:"init"`        // make the repository if there is none
	Prefix         string        `toml:"prefix"`      // of archives; only these are pruned
	Sources        []string      `toml:"sources"`     // names of machines; empty: all sources of this machine
	Daily          int           `toml:"daily"`       // all four 0: nothing is pruned
	Weekly         int           `toml:"weekly"`
	Monthly        int           `toml:"monthly"`
	Yearly         int           `toml:"yearly"`
	Check          bool          `toml:"check"`
	VerifyData     bool          `toml:"verify_data"`
	Compact        bool          `toml:"compact"`
	Compression    string        `toml:"compression"` // as borg create takes it; empty: borg's own
	RemotePath     string        `toml:"remote_path"` // of borg on the other side
	Program        string        `toml:"program"`
	Timeout        time.Duration `toml:"timeout"` // of one call of borg

	Passphrase Secret `toml:"-"` // of PassphraseFile
}

// Server is an ESXi host. It is read and checked; its machines are backed up from the next release on.
type Server struct {
	Name         string        `toml:"name"`
	Host         string        `toml:"host"`
	Port         int           `toml:"port"`
	User         string        `toml:"user"`
	PasswordFile string        `toml:"password_file"`
	SSHKey       string        `toml:"ssh_key"`
	BackupIP     string        `toml:"backup_ip"` // of this machine, as the host sees it; its datastores are named by it
	Driver       string        `toml:"driver"`    // native or lamw
	VMs          []string      `toml:"vms"`       // in the order of their backups
	DirectRuns   *int          `toml:"direct_runs_before_async"`
	Retention    *Keep         `toml:"retention"`
	VM           map[string]VM `toml:"vm"` // by name, each one of VMs
}

// VM is what is different for one virtual machine.
type VM struct {
	BlockedHours *Hours `toml:"blocked_hours"`
	Quiesce      bool   `toml:"quiesce"`
	Retention    *Keep  `toml:"retention"`
}
