package config

import (
	"path/filepath"
	"strconv"
	"strings"
)

// servers makes one table of each main file.
func (m *importer) servers(files []*shellFile) {
	first := files[0]
	names := map[string]int{}
	for i, f := range files {
		at := index("server", i)
		s := Server{}
		element(&s)
		s.Host = f.get("VMHOST")
		if s.Host == "" && f.get("VMLIST") == "" && len(files) == 1 {
			m.remark("note", f.name, 0, "there is neither VMHOST nor VMLIST: no server")
			return
		}
		s.Name = s.Host
		if names[s.Host]++; names[s.Host] > 1 {
			s.Name += "-" + strconv.Itoa(names[s.Host])
			m.remark("warning", f.name, f.values["VMHOST"].line, "VMHOST %s stands in another file as well: this server is called %s", s.Host, s.Name)
		}
		if user := f.get("VMUSER"); user != "" {
			s.User = user
		}
		s.PasswordFile = m.keepSecret("server-"+s.Name, f.get("VMPASSWORD"))
		if f.get("VMPASSWORD") == "" {
			m.remark("warning", f.name, 0, "VMPASSWORD is not set: write the password to %s (mode 0600), or set ssh_key instead of password_file", s.PasswordFile)
		}
		s.BackupIP, s.VMs = f.get("BACKUPNETWORK_IP"), m.vmList(f)
		s.Driver = "native"
		if tool := f.values["BACKUPTOOL"]; tool.value == "LAMW" {
			s.Driver = "lamw"
		} else if tool.value != "" {
			m.remark("warning", f.name, tool.line, "BACKUPTOOL %s means the tool bazaarvcb, which is not used: native is taken", tool.value)
		}
		for key, ours := range map[string]string{"VMHOST": "host", "VMLIST": "vms", "VMUSER": "user", "BACKUPNETWORK_IP": "backup_ip"} {
			m.came(join(at, ours), f, key)
		}
		m.came(join(at, "name"), f, "VMHOST")
		m.where[at] = f.name
		if i > 0 {
			m.overrides(at, &s, first, f)
		}
		m.c.Servers = append(m.c.Servers, s)
	}
}

// vmList splits VMLIST, without what stands in it twice.
func (m *importer) vmList(f *shellFile) []string {
	list, seen := []string{}, map[string]bool{}
	for _, vm := range strings.Fields(f.get("VMLIST")) {
		if seen[vm] {
			m.remark("warning", f.name, f.values["VMLIST"].line, "VMLIST: %s stands in it twice; once is taken", vm)
			continue
		}
		seen[vm] = true
		list = append(list, vm)
	}
	return list
}

// overrides are the counts in which a server differs from the first.
func (m *importer) overrides(at string, s *Server, first, f *shellFile) {
	keep := &Keep{}
	for _, o := range []struct {
		key, place string
		low        int
		to         **int
	}{
		{"KEEPVERSIONS", "retention.buffer_versions", 1, &keep.BufferVersions},
		{"KEEPVERSIONSONFINALTARGET", "retention.volume_versions", 1, &keep.VolumeVersions},
		{"PARANOIAMODE", "direct_runs_before_async", -1, &s.DirectRuns},
	} {
		if _, set := f.values[o.key]; !set || f.get(o.key) == first.get(o.key) {
			continue
		}
		n := o.low
		if m.number(f, o.key, at+"."+o.place, o.low, most, &n) {
			*o.to = &n
		}
	}
	if *keep != (Keep{}) {
		s.Retention = keep
	}
}

// number reads a whole number; a key that is not set or empty leaves n as it is.
func (m *importer) number(f *shellFile, key, place string, low, high int, n *int) bool {
	v := f.get(key)
	if v == "" {
		return false
	}
	x, err := strconv.Atoi(v)
	if err != nil || x < low || x > high {
		m.wrong(f, key, "want a number from %d to %d, found %q", low, high, v)
		return false
	}
	*n = x
	m.came(place, f, key)
	return true
}

// flag reads 0 or 1.
func (m *importer) flag(f *shellFile, key, place string, b *bool) {
	n := 0
	if m.number(f, key, place, 0, 1, &n) {
		*b = n == 1
	}
}

func (m *importer) path(f *shellFile, key, place string, p *string) {
	v := f.get(key)
	if v == "" {
		return
	}
	if !filepath.IsAbs(v) {
		m.wrong(f, key, "want an absolute path, found %q", v)
		return
	}
	*p = filepath.Clean(v)
	m.came(place, f, key)
}

// global takes the keys that all servers share.
func (m *importer) global(f *shellFile) {
	c := m.c
	for _, n := range []struct {
		key, place string
		low, high  int
		to         *int
	}{
		{"PARANOIAMODE", "backup.direct_runs_before_async", -1, 1000, &c.Backup.DirectRuns},
		{"KEEPVERSIONS", "retention.buffer_versions", 1, most, &c.Retention.BufferVersions},
		{"KEEPVERSIONSONFINALTARGET", "retention.volume_versions", 1, most, &c.Retention.VolumeVersions},
		{"FILLMAX", "retention.fill_max_percent", 10, 100, &c.Retention.FillMaxPercent},
		{"DDUMBSIZE", "format.volume_percent", 1, 100, &c.Format.VolumePercent},
		{"MINBATTERY", "ups.min_battery_minutes", 0, 100000, &c.UPS.MinBatteryMinutes},
		{"BUFDISKMAX4FOREAUTODELTE", "buffer.emergency_percent", 50, 100, &c.Buffer.EmergencyPercent},
	} {
		m.number(f, n.key, n.place, n.low, n.high, n.to)
	}
	if n := c.Retention.VolumeVersions; c.Retention.MinVersions > n {
		c.Retention.MinVersions = n
		m.remark("note", f.name, f.values["KEEPVERSIONSONFINALTARGET"].line, "retention.min_versions is %d, as no more are kept", n)
	}
	m.flag(f, "LAZYBONEFLAG", "backup.pause_after_round", &c.Backup.PauseAfterRound)
	if f.get("LAZYBONEFLAG") == "" {
		c.Backup.PauseAfterRound = false
		m.remark("note", f.name, 0, "LAZYBONEFLAG is not set, which means 0: rounds follow each other without a pause")
	}
	m.flag(f, "ALLOWCRCINBACKGROUND", "verify.target_async", &c.Verify.TargetAsync)
	m.flag(f, "ALLOWCRCSOURCEINBACKGROUND", "verify.source_parallel", &c.Verify.SourceParallel)
	if v := f.get("FILESYSTEM"); v != "" {
		c.Format.FileSystem = v
		m.came("format.filesystem", f, "FILESYSTEM")
	}
	m.path(f, "DDUMBVOL", "paths.volume_mount", &c.Paths.VolumeMount)
	m.path(f, "VMBACKUPTARGET", "paths.buffer", &c.Paths.Buffer)
	m.path(f, "SPOOLDIR", "paths.spool", &c.Paths.Spool)
	m.path(f, "SIGNAL", "paths.signals", &c.Paths.Signals)
	m.housekeeper(f)
	m.target(f)
	m.volumeNames(f)
}

// housekeeper reads an argument of find: +N is more than N days. The other forms would delete what is young.
func (m *importer) housekeeper(f *shellFile) {
	v := f.get("HOUSEKEEPERAGE")
	if v == "" {
		return
	}
	days, more := strings.CutPrefix(v, "+")
	n, err := strconv.Atoi(days)
	switch {
	case strings.HasPrefix(v, "-"):
		m.wrong(f, "HOUSEKEEPERAGE", "want +N, found %q, which means younger than so many days: it would delete the newest backups", v)
	case err != nil || n < 0 || n > most || strings.HasPrefix(days, "+"):
		m.wrong(f, "HOUSEKEEPERAGE", "want + and a number of days, found %q", v)
	case !more:
		m.wrong(f, "HOUSEKEEPERAGE", "want +%d, found %q, which means exactly %d days old: it would miss what is older", n, v, n)
	default:
		m.c.Retention.UnverifiedMaxAgeDays = n
		m.came("retention.unverified_max_age_days", f, "HOUSEKEEPERAGE")
	}
}

// target reads ASYNCTARGET, which must be a folder right below the mount point.
func (m *importer) target(f *shellFile) {
	v := f.get("ASYNCTARGET")
	if v == "" {
		return
	}
	if dir, name := filepath.Split(filepath.Clean(v)); filepath.Clean(dir) == m.c.Paths.VolumeMount && name != "" {
		m.c.Paths.VolumeSubdir = name
		m.came("paths.volume_subdir", f, "ASYNCTARGET")
		return
	}
	m.wrong(f, "ASYNCTARGET", "want a folder right below DDUMBVOL (%s), found %q", m.c.Paths.VolumeMount, v)
}

// volumeNames makes a table of each name; the disks are found later.
func (m *importer) volumeNames(f *shellFile) {
	workers := 0
	m.number(f, "CPUPOOL4DDUMB", "volume.writer_pool", 0, 1024, &workers)
	seen := map[string]bool{}
	for _, name := range strings.Fields(f.get("DDDEVICELIST")) {
		if seen[name] {
			m.remark("warning", f.name, f.values["DDDEVICELIST"].line, "DDDEVICELIST: %s stands in it twice; once is taken", name)
			continue
		}
		seen[name] = true
		v := Volume{}
		element(&v)
		v.Name, v.Workers = name, workers
		if useForm.MatchString(name) {
			v.Use = name
		}
		m.c.Volumes = append(m.c.Volumes, v)
	}
	m.came("volume", f, "DDDEVICELIST")
}
