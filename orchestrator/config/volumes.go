package config

// Kinds of volumes.
const (
	KindUSB  = "usb"  // a file system that is found by its UUID
	KindPath = "path" // a directory that is there already
	KindLoop = "loop" // a file with a file system in it
	KindNFS  = "nfs"  // an export of another machine; mounted from the next release on
)

// Volume is one disk of the rotation, with the volume on it.
type Volume struct {
	Name       string   `toml:"name"` // also of its mount point
	Kind       string   `toml:"kind"`
	UUID       string   `toml:"uuid"`   // usb: of the file system, as in /dev/disk/by-uuid
	Path       string   `toml:"path"`   // path: the directory
	File       string   `toml:"file"`   // loop: the file
	Export     string   `toml:"export"` // nfs: HOST:/PATH
	Use        string   `toml:"use"`    // rotation, dayofweek-1 (Monday) to dayofweek-7, dayofmonth-1 to dayofmonth-31
	Parent     string   `toml:"parent"` // of the volume, relative to the disk
	FileSystem string   `toml:"file_system"`
	Options    []string `toml:"options"`     // of the mount of the disk
	Workers    int      `toml:"writer_pool"` // that hash and store; 0: one for each processor
	Retention  *Keep    `toml:"retention"`
	SkipVerify *bool    `toml:"skip_verify"` // nil: false, but true for nfs, as the predecessor did
	LUKSUUID   string   `toml:"luks_uuid"`   // of the encrypted partition; opened from a later release on
	Key        string   `toml:"key"`         // of it: derived, or an absolute path
}

// Uses of a volume that is not for one day.
const UseRotation = "rotation"

// Restore is about getting virtual machines back; for a later release.
type Restore struct {
	Server     string   `toml:"server"`
	Mode       string   `toml:"mode"` // copy or link
	Datastores []string `toml:"datastores"`
	DiskFormat string   `toml:"disk_format"` // zeroedthick, 2gbsparse, thin, eagerzeroedthick
	NFSIP      string   `toml:"nfs_ip"`
}

// Format is about new disks and volumes. Disks are formatted by a later release.
type Format struct {
	FileSystem    string `toml:"filesystem"`
	VolumePercent int    `toml:"volume_percent"` // of the disk, that a new volume takes
}

// UPS is about a power cut; for a later release.
type UPS struct {
	MinBatteryMinutes int `toml:"min_battery_minutes"`
}
