package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mounted is a line of fstab.
type mounted struct {
	device, point, kind string
	options             []string
	line                int
}

// disks looks up each volume in fstab and crypttab. A volume without a disk is left out, and said to be.
func (m *importer) disks() error {
	tab, err := readTable(m.o.Fstab)
	if err != nil {
		return err
	}
	crypt, err := readTable(m.o.Crypttab)
	if err != nil {
		return err
	}
	found := []Volume{}
	for _, v := range m.c.Volumes {
		if m.disk(&v, tab) {
			m.crypt(&v, crypt)
			m.where[index("volume", len(found))] = m.where["volume"]
			m.origin[index("volume", len(found))] = m.origin["volume"]
			found = append(found, v)
		}
	}
	m.c.Volumes = found
	return nil
}

// row is one line of a table: its fields.
type row struct {
	fields []string
	line   int
}

// readTable reads lines of fields; no name is no lines.
func readTable(file string) (rows []row, err error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			rows = append(rows, row{fields, i + 1})
		}
	}
	return rows, nil
}

// unescape undoes the octal escapes of fstab.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// disk finds the line of fstab for /mnt/NAME, by the exact name.
func (m *importer) disk(v *Volume, tab []row) bool {
	var lines []mounted
	for _, r := range tab {
		if len(r.fields) < 3 || unescape(r.fields[1]) != "/mnt/"+v.Name {
			continue
		}
		one := mounted{device: unescape(r.fields[0]), point: unescape(r.fields[1]), kind: r.fields[2], line: r.line}
		if len(r.fields) > 3 {
			one.options = strings.Split(r.fields[3], ",")
		}
		lines = append(lines, one)
	}
	leave := func(line int, format string, args ...any) bool {
		m.remark("warning", m.o.Fstab, line, "volume %s is left out: %s", v.Name, fmt.Sprintf(format, args...))
		return false
	}
	switch {
	case m.o.Fstab == "":
		return leave(0, "no fstab was given (--fstab), so its disk is not known")
	case len(lines) == 0:
		return leave(0, "no line has the mount point /mnt/%s", v.Name)
	case len(lines) > 1:
		return leave(lines[1].line, "line %d has the same mount point /mnt/%s", lines[0].line, v.Name)
	}
	one := lines[0]
	uuid, byUUID := strings.CutPrefix(one.device, "UUID=")
	if !byUUID {
		uuid, byUUID = strings.CutPrefix(one.device, "/dev/disk/by-uuid/")
	}
	switch {
	case one.kind == "nfs" || one.kind == "nfs4":
		v.Kind, v.Export, v.FileSystem = KindNFS, one.device, one.kind
	case byUUID:
		v.Kind, v.UUID, v.FileSystem = KindUSB, strings.Trim(uuid, `"'`), one.kind
	case slices.Contains(one.options, "loop") && filepath.IsAbs(one.device):
		v.Kind, v.File, v.FileSystem = KindLoop, one.device, one.kind
	default:
		return leave(one.line, "want UUID=… or HOST:/EXPORT as the device, found %q: names of devices change", one.device)
	}
	v.Options = mountOptions(one.options)
	return true
}

// mountOptions leaves out those that tell others when and by whom the disk is mounted.
func mountOptions(list []string) []string {
	kept := []string{}
	for _, o := range list {
		word, _, _ := strings.Cut(o, "=")
		if o == "" || strings.HasPrefix(o, "x-") ||
			slices.Contains([]string{"auto", "noauto", "defaults", "nofail", "user", "users", "nouser", "owner", "group", "_netdev", "loop", "rw", "comment"}, word) {
			continue
		}
		kept = append(kept, o)
	}
	return kept
}

// crypt finds the line of crypttab for NAME.
func (m *importer) crypt(v *Volume, tab []row) {
	for _, r := range tab {
		if r.fields[0] != v.Name || len(r.fields) < 2 {
			continue
		}
		uuid, ok := strings.CutPrefix(r.fields[1], "UUID=")
		if !ok {
			m.remark("warning", m.o.Crypttab, r.line, "volume %s: want UUID=…, found %q: the line is not taken", v.Name, r.fields[1])
			return
		}
		v.LUKSUUID, v.Key = strings.Trim(uuid, `"'`), "derived"
		if len(r.fields) > 2 && r.fields[2] != "none" && r.fields[2] != "-" {
			v.Key = r.fields[2]
		}
		return
	}
}
