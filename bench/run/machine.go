package run

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/bench/result"
)

// Machine is what a run in dir is measured on; what cannot be found out stays empty.
func Machine(dir string) result.Machine {
	m := result.Machine{Cores: runtime.GOMAXPROCS(0), Memory: memory(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasPrefix(d.Path, "github.com/hanwen/go-fuse/") {
				m.GoFuse = d.Version
			}
		}
	}
	m.FileSystem, m.Device = fileSystem(dir)
	return m
}

// fileSystem finds the mount that a directory lies on.
func fileSystem(dir string) (kind, device string) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", ""
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", ""
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", ""
	}
	best := ""
	for line := range strings.Lines(string(table)) {
		left, right, ok := strings.Cut(line, " - ")
		fields, tail := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(tail) < 2 {
			continue
		}
		// A later mount on the same point covers the earlier one.
		if point := fields[4]; len(point) >= len(best) && (dir == point || strings.HasPrefix(dir, strings.TrimSuffix(point, "/")+"/")) {
			best, kind, device = point, tail[0], tail[1]
		}
	}
	return kind, device
}

// revisions of all programs, in the order given.
func (o *Options) revisions() (list []result.Program) {
	for _, p := range o.Programs {
		list = append(list, result.Program{Label: p.Label, Path: p.Path, Revision: revision(p.Path)})
	}
	return list
}

// Sources is the revision of the sources in the working directory, as git describes it: for tests, whose programs do not know theirs. "unknown" where git or the repository is not there.
func Sources() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=7").Output()
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(out))
}

// revision of a program, from what the Go linker wrote into it.
func revision(program string) (r result.Revision) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return r
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			r.Git = s.Value
		case "vcs.modified":
			r.Modified = s.Value == "true"
		}
	}
	return r
}
