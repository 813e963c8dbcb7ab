package run

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tresor/bench/workload"
)

// TestSizesKeepToTheRoom: whatever is chosen fits, down to where measuring makes no sense.
func TestSizesKeepToTheRoom(t *testing.T) {
	for _, space := range []int64{1 << 30, 5 << 30, DefaultSpace, math.MaxInt64 / 2} {
		o := Options{Dir: t.TempDir(), Space: space, Programs: make([]Program, 2)}
		var notes []string
		s, err := o.sizes(func(what, why string) { notes = append(notes, what+why) })
		if err != nil {
			if !strings.Contains(err.Error(), "too little") {
				t.Error(err)
			}
			continue
		}
		if have, want := int64(s.Overwrites), s.Random/16/4096; have != want {
			t.Errorf("room of %d: %d overwrites of a file of %d bytes, want %d", space, have, s.Random, want)
		}
		if n := need(s, 2); n > space {
			t.Errorf("room of %d: sizes %+v need %d", space, s, n)
		}
		small := s.Data <= 4*workload.LastLevelCache()
		if small != (len(notes) == 1) {
			t.Errorf("room of %d: data of %d, cache of %d: notes %q", space, s.Data, workload.LastLevelCache(), notes)
		}
		if s.Data%dataStep != 0 {
			t.Errorf("data of %d bytes is no multiple of %d", s.Data, dataStep)
		}
	}
}

// TestField: what is measured by default, and with --all and --only.
func TestField(t *testing.T) {
	names := func(o Options) (list []string) {
		o.Programs = []Program{{"ours", "/ddumbfs"}}
		l, err := o.field(t.TempDir(), workload.Sizes{Data: 64 << 20, Small: 1, Random: 1 << 20}, func(string, string) {})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range o.items(l.Workloads()) {
			for _, i := range row {
				list = append(list, i.name())
			}
		}
		return list
	}
	byDefault, all := names(Options{}), names(Options{All: true})
	for _, want := range []string{"write-known/128k/1 null", "write-unique/128k/1 raw", "volume/4k ours-BLAKE3", "volume/128k ours-TIGER", "read-warm/128k/1 loopback",
		"rand-overwrite/4k/1 plain-loop", "scrub/128k raw", "scrub/128k ours-BLAKE3", "read-warm/128k/1 null", "mount-empty/128k ours-BLAKE3", "memory/1T ours-BLAKE3", "hash/1M SHA1"} {
		if !slices.Contains(byDefault, want) {
			t.Errorf("not measured by default: %s; have %q", want, byDefault)
		}
	}
	if more := "volume/1M ours-TIGER"; slices.Contains(byDefault, more) || !slices.Contains(all, more) {
		t.Errorf("%s: want it with --all only", more)
	}
	if slices.Contains(byDefault, "write-unique/128k/1 null") {
		t.Error("the null file system cannot keep unique data: its rate would be taken for a ceiling of storing")
	}
	only := names(Options{Only: regexp.MustCompile(`^(read-warm.* raw|write-known/4k/1 )`)})
	if want := []string{"read-warm/128k/1 raw", "volume/4k ours-BLAKE3"}; !slices.Equal(only, want) {
		t.Errorf("only: have %q, want %q", only, want)
	}
}

// TestFiles: as many small files as asked for, if there is room for them.
func TestFiles(t *testing.T) {
	o := Options{Dir: t.TempDir(), Space: DefaultSpace, Programs: make([]Program, 1), Files: 100_000}
	s, err := o.sizes(func(string, string) {})
	if err != nil {
		t.Skip(err) // a small disk
	}
	if s.Small != o.Files || need(s, 1) > o.Space {
		t.Errorf("have %+v, which need %d", s, need(s, 1))
	}
	o.Files = mostFiles
	if _, err := o.sizes(func(string, string) {}); err == nil || !strings.Contains(err.Error(), "10000000 small files need") {
		t.Errorf("more files than there is room for: have %v", err)
	}
	o.Rounds, o.Time = 1, DefaultTime
	for _, n := range []int{-1, mostFiles + 1} {
		if o.Files = n; os.Geteuid() == 0 && (o.check() == nil || !strings.Contains(o.check().Error(), "small files")) {
			t.Errorf("%d files: have %v, want an error", n, o.check())
		}
	}
}

// TestRevisions: each program has one of its own; what is no Go program has none.
func TestRevisions(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Programs: []Program{{"A:x", self}, {"B:y", "/bin/sh"}}}
	have := o.revisions()
	if len(have) != 2 || have[0].Label != "A:x" || have[0].Path != self || have[0].Revision != revision(self) || have[1].Revision.Git != "" {
		t.Errorf("have %+v", have)
	}
}

// TestVersions: the record says what has measured, and what stood beside ours.
func TestVersions(t *testing.T) {
	bin := t.TempDir()
	for name, text := range map[string]string{"fio": "echo fio-1.2; echo more", "borg": "exit 3"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	o := Options{Program: "/bin/sh"}
	want := map[string]string{"ddbench-revision": "unknown", "fio": "fio-1.2", "borg": "unknown", "restic": "not installed"}
	if have := o.versions(t.Context()); !maps.Equal(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
	o.Quick = true
	t.Setenv("PATH", t.TempDir())
	want = map[string]string{"ddbench-revision": "unknown", "fio": "not installed: a loop of ddbench in its place"}
	if have := o.versions(t.Context()); !maps.Equal(have, want) {
		t.Errorf("quick, without fio: have %q, want %q", have, want)
	}
}

func TestParseProgram(t *testing.T) {
	for text, want := range map[string]Program{"/bin/sh": {"ours", "/bin/sh"}, "A:base=/bin/sh": {"A:base", "/bin/sh"}} {
		if have, err := ParseProgram(text); err != nil || have != want {
			t.Errorf("%q: have %v, %v, want %v", text, have, err, want)
		}
	}
	for _, text := range []string{"=/bin/sh", "a b=/bin/sh", filepath.Join(t.TempDir(), "none")} {
		if have, err := ParseProgram(text); err == nil {
			t.Errorf("%q: have %v, want an error", text, have)
		}
	}
}

func TestMachine(t *testing.T) {
	m := Machine(t.TempDir())
	if m.CPU == "" || m.Cores < 1 || m.Memory < 1<<20 || m.Kernel == "" || m.Go == "" || m.FileSystem == "" || m.Device == "" {
		t.Errorf("have %+v, want everything but the version of a module, which tests do not have", m)
	}
}
