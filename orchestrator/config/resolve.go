package config

import (
	"errors"
	"path/filepath"
	"strings"
)

// With returns r with what k sets instead.
func (r Retention) With(k *Keep) Retention {
	if k == nil {
		return r
	}
	for _, o := range []struct{ to, from *int }{
		{&r.BufferVersions, k.BufferVersions}, {&r.VolumeVersions, k.VolumeVersions}, {&r.FillMaxPercent, k.FillMaxPercent},
		{&r.MinVersions, k.MinVersions}, {&r.UnverifiedMaxAgeDays, k.UnverifiedMaxAgeDays}, {&r.EvidenceDays, k.EvidenceDays},
		{&r.Daily, k.Daily}, {&r.Weekly, k.Weekly}, {&r.Monthly, k.Monthly}, {&r.Yearly, k.Yearly},
	} {
		if o.from != nil {
			*o.to = *o.from
		}
	}
	return r
}

// RetentionOf says what is kept of a machine on a volume. What is set for the machine wins over what is set for the volume, and that over the general
// rules; between them stands the server of a virtual machine. An empty volume is the buffer.
func (c *Config) RetentionOf(machine, volume string) Retention {
	r := c.Retention
	if v := c.Volume(volume); v != nil {
		r = r.With(v.Retention)
	}
	for _, m := range c.Machines() {
		if m.Name == machine {
			r = r.With(m.Retention)
		}
	}
	for i := range c.Servers {
		for _, name := range c.Servers[i].VMs {
			if name == machine {
				r = r.With(c.Servers[i].Retention).With(c.Servers[i].VM[name].Retention)
			}
		}
	}
	r.MinVersions = min(r.MinVersions, r.VolumeVersions)
	return r
}

// Volume finds a volume by its exact name, or returns nil.
func (c *Config) Volume(name string) *Volume {
	for i := range c.Volumes {
		if c.Volumes[i].Name == name {
			return &c.Volumes[i]
		}
	}
	return nil
}

// SkipsVerify tells whether copies on the volume are not proved: what skip_verify says, and without it those of NFS, as the predecessor did.
func (v *Volume) SkipsVerify() bool {
	if v.SkipVerify != nil {
		return *v.SkipVerify
	}
	return v.Kind == KindNFS
}

// MountPoint is where the disk of a volume is mounted; the disk of kind path is there already.
func (c *Config) MountPoint(v *Volume) string {
	if v.Kind == KindPath {
		return v.Path
	}
	return filepath.Join(c.Paths.Disks, v.Name)
}

// LogDir is where the logs of runs are.
func (c *Config) LogDir() string {
	if c.Log.Dir != "" {
		return c.Log.Dir
	}
	return filepath.Join(c.Paths.State, "runs")
}

// Check proves a configuration that was put together by a program, as if it stood in a file. It leaves files of secrets alone.
func (c *Config) Check(o Outside) Mistakes {
	o.NoSecrets = true
	var wrong Mistakes
	nowhere := func(string) map[string]int { return nil } // lines of a file that is not there yet say nothing
	if _, err := parse(c.File, Render(c), o, nowhere); errors.As(err, &wrong) {
		return wrong
	}
	return nil
}

// Of are the mistakes of a key and of what is in it.
func (m Mistakes) Of(key string) (list Mistakes) {
	within := func(at string) bool {
		rest, ok := strings.CutPrefix(at, key)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	for _, one := range m {
		if within(one.Key) || within(one.Other) {
			list = append(list, one)
		}
	}
	return list
}
