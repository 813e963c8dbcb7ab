package config

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	uuidForm = regexp.MustCompile(`^[0-9A-Fa-f]{4,32}(-[0-9A-Fa-f]{4,12})*$`)
	useForm  = regexp.MustCompile(`^(rotation|dayofweek-[1-7]|dayofmonth-([1-9]|[12][0-9]|3[01]))$`)
)

// completeVolume gives a volume whose name says its day, as the predecessor's do, that use.
func (k *checker) completeVolume(at string, v *Volume) {
	if !k.set[join(at, "use")] && v.Name != UseRotation && useForm.MatchString(v.Name) {
		v.Use = v.Name
	}
}

func (k *checker) checkVolumes() {
	names, places, days := map[string]string{}, map[string]string{}, map[string]string{}
	for i := range k.c.Volumes {
		v, at := &k.c.Volumes[i], index("volume", i)
		k.completeVolume(at, v)
		if k.name(join(at, "name"), v.Name) {
			k.unique(names, join(at, "name"), v.Name, "name of a volume")
			k.checkMountPoint(join(at, "name"), filepath.Join(k.c.Paths.Disks, v.Name))
		}
		k.oneOf(join(at, "kind"), v.Kind, KindUSB, KindPath, KindLoop, KindNFS)
		k.checkPlace(at, v, places)
		if !useForm.MatchString(v.Use) {
			k.mistake(join(at, "use"), "want rotation, dayofweek-1 (Monday) to dayofweek-7, or dayofmonth-1 to dayofmonth-31, found %q", v.Use)
		} else if v.Use != UseRotation {
			k.unique(days, join(at, "use"), v.Use, "day")
		}
		if p := v.Parent; p == "" || filepath.IsAbs(p) || filepath.Clean(p) != p || !filepath.IsLocal(p) {
			k.mistake(join(at, "parent"), "want a path relative to the disk, such as l0/ddumbfs, found %q", p)
		}
		for j, o := range v.Options {
			if o == "" || strings.ContainsAny(o, ", \t\n") || strings.HasPrefix(o, "-") {
				k.mistake(index(join(at, "options"), j), "want one option of mount, found %q", o)
			}
		}
		k.between(join(at, "writer_pool"), v.Workers, 0, 1024)
		k.keep(join(at, "retention"), v.Retention)
		k.checkLUKS(at, v)
	}
}

// checkMountPoint: the disk must not hide what else is there.
func (k *checker) checkMountPoint(at, point string) {
	p := &k.c.Paths
	for key, other := range map[string]string{
		"buffer": p.Buffer, "volume_mount": p.VolumeMount, "second_mount": p.SecondMount, "state": p.State, "index": p.Index,
	} {
		if other != "" && below(other, point) {
			k.mistake(at, "the disk would be mounted at %s, which holds paths.%s = %q", point, key, other)
		}
	}
}

// checkPlace holds the kind against the keys that say where the disk is: each kind has one, and the others exclude it.
func (k *checker) checkPlace(at string, v *Volume, places map[string]string) {
	values := map[string]string{"uuid": v.UUID, "path": v.Path, "file": v.File, "export": v.Export}
	need := map[string]string{KindUSB: "uuid", KindPath: "path", KindLoop: "file", KindNFS: "export"}[v.Kind]
	if need == "" {
		return // the kind is wrong
	}
	for _, key := range []string{"uuid", "path", "file", "export"} {
		switch value := values[key]; {
		case key == need && value == "":
			k.mistake(at, "%s is missing; kind = %q needs it", key, v.Kind)
		case key != need && value != "":
			k.mistake(join(at, key), "kind = %q and this exclude each other; it needs %s", v.Kind, need)
		case value != "":
			if key == "uuid" { // 1234-ABCD and 1234-abcd are one disk
				value = strings.ToLower(value)
			}
			k.unique(places, join(at, key), key+" "+value, "disk with")
		}
	}
	switch {
	case v.UUID != "" && !uuidForm.MatchString(v.UUID):
		k.mistake(join(at, "uuid"), "want a UUID as in /dev/disk/by-uuid, found %q", v.UUID)
	case v.Path != "":
		k.absolute(join(at, "path"), v.Path, false)
	case v.File != "":
		k.absolute(join(at, "file"), v.File, false)
	case v.Export != "":
		if host, dir, ok := strings.Cut(v.Export, ":/"); !ok || host == "" || strings.ContainsAny(host, "/ ") {
			k.mistake(join(at, "export"), "want HOST:/PATH, found %q", v.Export)
		} else if filepath.Clean("/"+dir) != "/"+dir {
			k.mistake(join(at, "export"), "want the path %q, found %q", filepath.Clean("/"+dir), "/"+dir)
		}
		k.note(join(at, "kind"), "NFS volumes are mounted from a later release on")
	}
}

func (k *checker) checkLUKS(at string, v *Volume) {
	if v.LUKSUUID == "" && v.Key == "" {
		return
	}
	if v.Kind != KindUSB {
		k.mistake(join(at, "luks_uuid"), "kind = %q and this exclude each other", v.Kind)
	}
	if !uuidForm.MatchString(v.LUKSUUID) {
		k.mistake(join(at, "luks_uuid"), "want a UUID as in /dev/disk/by-uuid, found %q", v.LUKSUUID)
	}
	if v.Key != "derived" && !filepath.IsAbs(v.Key) {
		k.mistake(join(at, "key"), "want derived, or the absolute path of a key file, found %q", v.Key)
	}
	k.note(join(at, "luks_uuid"), "encrypted disks are opened from a later release on; until then open it before (cryptdisks_start %s)", v.Name)
}

func (k *checker) checkLater() {
	r := &k.c.Restore
	k.oneOf("restore.mode", r.Mode, "copy", "link")
	k.oneOf("restore.disk_format", r.DiskFormat, "zeroedthick", "2gbsparse", "thin", "eagerzeroedthick")
	if r.NFSIP != "" && net.ParseIP(r.NFSIP) == nil {
		k.mistake("restore.nfs_ip", "want an IP address, found %q", r.NFSIP)
	}
	seen := map[string]string{}
	for i, d := range r.Datastores {
		if d == "" {
			k.mistake(index("restore.datastores", i), "a name is missing")
		}
		k.unique(seen, index("restore.datastores", i), d, "datastore")
	}
	k.oneOf("format.filesystem", k.c.Format.FileSystem, "ext4", "xfs", "btrfs")
	k.between("format.volume_percent", k.c.Format.VolumePercent, 1, 100)
	k.between("ups.min_battery_minutes", k.c.UPS.MinBatteryMinutes, 0, 100000)
	if k.c.Paths.Spool != "" {
		k.note("paths.spool", "jobs of the predecessor are not taken over: let its copier end before the change")
	}
	if k.c.Mail.InterfaceUpOnDemand != "" {
		k.note("mail.interface_up_on_demand", "the interface is raised for mail from a later release on")
	}
}

// checkWhole looks at what needs several tables.
func (k *checker) checkWhole() {
	names := map[string]string{}
	for _, m := range k.c.Machines() {
		k.unique(names, join(m.At, "name"), m.Name, "name of a machine")
	}
	for i, s := range k.c.Servers {
		for j, vm := range s.VMs {
			at := index(join(index("server", i), "vms"), j)
			if k.name(at, vm) {
				k.unique(names, at, vm, "name of a machine")
			}
		}
	}
	if r := k.c.Restore.Server; r != "" && !slices.ContainsFunc(k.c.Servers, func(s Server) bool { return s.Name == r || s.Host == r }) {
		k.mistake("restore.server", "there is no server %q", r)
	}
	if len(names) == 0 {
		k.notes = append(k.notes, Note{Text: "there is no source and no server, so nothing is backed up"})
	} else if len(k.c.Volumes) == 0 && len(k.c.Borg) == 0 {
		k.notes = append(k.notes, Note{Text: fmt.Sprintf("there is no volume and no borg repository, so %d machines have nowhere to go", len(names))})
	}
}
