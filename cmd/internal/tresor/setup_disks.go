package tresor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tresor/index/format"
	"tresor/orchestrator/config"
)

// device is a file system that this machine sees.
type device struct {
	uuid, name string // name as in /dev
	size       int64  // bytes; 0: not known
	mounted    string // where; empty: nowhere
}

// devices lists what can be found by UUID. What cannot be read is not there.
func (v *setup) devices() (list []device) {
	entries, err := os.ReadDir(v.blockDevices)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		target, err := filepath.EvalSymlinks(filepath.Join(v.blockDevices, e.Name()))
		if err != nil {
			continue
		}
		d := device{uuid: e.Name(), name: target, mounted: v.mountPoint(target)}
		if text, err := os.ReadFile(filepath.Join(v.sizes, filepath.Base(target), "size")); err == nil {
			sectors, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil {
				d.size = sectors * 512
			}
		}
		list = append(list, d)
	}
	return list
}

// mountPoint is where a device is mounted, by the table of mounts.
func (v *setup) mountPoint(name string) string {
	text, err := os.ReadFile(v.mounts)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return fields[1]
		}
	}
	return ""
}

func (v *setup) disks() (err error) {
	v.ask.say("\n-- Disks that backups go to, in the order of their turns\n")
	v.c.Volumes, err = keepEntries(v, "disk", v.c.Volumes, func(d config.Volume) string {
		return fmt.Sprintf("%q (%s)", d.Name, strings.Join(strings.Fields(d.UUID+" "+d.Path+" "+d.File+" "+d.Export), " "))
	})
	for err == nil {
		found := v.devices()
		for i, d := range found {
			size, where := "size not known", "not mounted"
			if d.size > 0 {
				size = format.FormatSize(d.size)
			}
			if d.mounted != "" {
				where = "mounted at " + d.mounted
			}
			v.ask.say("  %d: %s, %s, %s, %s\n", i+1, d.uuid, d.name, size, where)
		}
		var one config.Volume
		var answer string
		answer, err = v.ask.question("Add a disk: its number, UUID, directory, file of a loop disk, HOST:/EXPORT (empty: no more)", "", func(s string) error {
			if s == "" {
				return nil
			}
			var err error
			one, err = place(s, found)
			if err == nil {
				err = v.tryVolume(one)
			}
			return err
		})
		if err != nil || answer == "" {
			return err
		}
		err = v.addVolume(one)
	}
	return err
}

// place makes of an answer a volume without a name.
func place(answer string, found []device) (config.Volume, error) {
	one := config.NewVolume()
	n, err := strconv.Atoi(answer)
	switch {
	case err == nil && len(answer) < 4: // UUIDs have at least that many letters
		if n < 1 || n > len(found) {
			return one, fmt.Errorf("want a number from 1 to %d, found %d", len(found), n)
		}
		if at := found[n-1].mounted; at == "/" || strings.HasPrefix(at, "/boot") {
			return one, fmt.Errorf("%s is mounted at %s: this machine runs from it", found[n-1].name, at)
		}
		one.UUID = found[n-1].uuid
	case strings.Contains(answer, ":/"):
		one.Kind, one.Export = config.KindNFS, answer
	case filepath.IsAbs(answer):
		info, err := os.Stat(answer)
		switch {
		case err != nil:
			return one, err
		case info.IsDir():
			one.Kind, one.Path = config.KindPath, answer
		case info.Mode().IsRegular():
			one.Kind, one.File = config.KindLoop, answer
		default:
			return one, fmt.Errorf("want a directory or a file, found %s: name disks by their UUID, as names of devices change", info.Mode())
		}
	default:
		one.UUID = answer
	}
	return one, nil
}

// tryVolume looks at the place of a volume that has no name yet.
func (v *setup) tryVolume(one config.Volume) error {
	one.Name = "new disk"
	before := v.c.Volumes
	v.c.Volumes = append(before[:len(before):len(before)], one)
	err := v.try(fmt.Sprintf("volume[%d]", len(before)))
	v.c.Volumes = before
	return err
}

// addVolume asks for the rest of a volume whose place is known.
func (v *setup) addVolume(one config.Volume) error {
	one.Name = v.freeName()
	v.c.Volumes = append(v.c.Volumes, one)
	i := len(v.c.Volumes) - 1
	at, last := fmt.Sprintf("volume[%d]", i), &v.c.Volumes[i]
	if err := v.text("  Name", at+".name", &last.Name); err != nil {
		return err
	}
	if strings.HasPrefix(last.Name, "dayof") {
		last.Use = last.Name
		if v.try(at+".use") != nil {
			last.Use = config.UseRotation
		}
	}
	if err := v.text("  Use: rotation, dayofweek-1 (Monday) to dayofweek-7, dayofmonth-1 to dayofmonth-31", at+".use", &last.Use); err != nil {
		return err
	}
	return v.text("  Directory of the volume on the disk", at+".parent", &last.Parent)
}

// freeName is disk1, disk2 and so on.
func (v *setup) freeName() string {
	for i := 1; ; i++ {
		if name := fmt.Sprintf("disk%d", i); v.c.Volume(name) == nil {
			return name
		}
	}
}
