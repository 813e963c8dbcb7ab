package verify_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/verify"
)

func manifest(t *testing.T) (w *world, backup string, m verify.Manifest) {
	t.Helper()
	w = newWorld(t)
	objects, err := verify.Scan(t.Context(), w.path(""))
	w.must(err)
	return w, w.path(""), verify.Manifest{Backup: name, Made: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Files: w.sums, Objects: objects}
}

func TestManifest(t *testing.T) {
	w, backup, m := manifest(t)
	w.must(verify.WriteManifest(backup, m))
	have, err := verify.ReadManifest(backup)
	w.must(err)
	if !have.Made.Equal(m.Made) || have.Backup != name || len(have.Objects) != len(m.Objects) || !reflect.DeepEqual(have.Files, m.Files) {
		t.Errorf("have %+v\nwant %+v", have, m)
	}
	for i := range m.Objects {
		if o := have.Objects[i]; o.Path != m.Objects[i].Path || o.Kind != m.Objects[i].Kind || o.Mode != m.Objects[i].Mode || o.Target != m.Objects[i].Target {
			t.Errorf("have %+v, want %+v", o, m.Objects[i])
		}
	}
	for name, lists := range map[string]verify.Manifest{"empty": {Files: []orchestrator.FileSum{}}, "no objects": {Files: m.Files}, "no list of them": {Objects: m.Objects}} {
		lists.Backup = m.Backup
		w.must(verify.WriteManifest(backup, lists))
		have, err := verify.ReadManifest(backup)
		if err != nil || len(have.Files) != len(lists.Files) || len(have.Objects) != len(lists.Objects) || (have.Objects == nil) != (lists.Objects == nil) {
			t.Errorf("%s: have %d files, %d objects, %v", name, len(have.Files), len(have.Objects), err)
		}
	}
	m.Files[0], m.Files[1] = m.Files[1], m.Files[0]
	if err := verify.WriteManifest(backup, m); err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("files out of order: %v", err)
	}
}

// TestHostileManifest: each change of a good manifest is an error that says where.
func TestHostileManifest(t *testing.T) {
	w, backup, m := manifest(t)
	w.must(verify.WriteManifest(backup, m))
	path := filepath.Join(backup, orchestrator.ManifestFile)
	good, err := os.ReadFile(path)
	w.must(err)
	try := func(what string, text []byte) {
		t.Helper()
		w.must(os.WriteFile(path, text, 0o600))
		if _, err := verify.ReadManifest(backup); err == nil {
			t.Errorf("%s: no error", what)
		} else if !strings.Contains(err.Error(), "manifest.json") {
			t.Errorf("%s: %v: want the name of the file", what, err)
		}
	}
	for n := 0; n < len(good)-1; n += 7 {
		try("cut off", good[:n])
	}
	for what, change := range map[string][2]string{
		"a newer version":     {`"version":2`, `"version":3`},
		"no version":          {`"version":2,`, ``},
		"time that is none":   {`"mtime":"2`, `"mtime":"x2`},
		"another backup":      {name, "dc-20260101000001"},
		"unknown key":         {`"files":[`, `"more":1,"files":[`},
		"unknown key of file": {`"cksum":`, `"sum":`},
		"path outside":        {`"path":"small"`, `"path":"../../etc/passwd"`},
		"absolute path":       {`"path":"small"`, `"path":"/etc/passwd"`},
		"path not clean":      {`"path":"small"`, `"path":"./small"`},
		"path with NUL":       {`"path":"small"`, `"path":"sma\u0000l"`},
		"negative size":       {`"size":5,`, `"size":-5,`},
		"too few segments":    {`"size":5,`, `"size":5000000,`},
		"huge size":           {`"size":5,`, `"size":9223372036854775807,`},
		"segments of nothing": {`"segment_size":65536`, `"segment_size":0`},
		"digest too short":    {`"segments":["`, `"segments":["00`},
		"sum too large":       {`"cksum":`, `"cksum":99999999999`},
		"link to nowhere":     {`"link":"small"`, `"link":"smaller"`},
		"link to itself":      {`"link":"small"`, `"link":"sub/hard"`},
		"fresh outside":       {`"fresh":[{"first":0,`, `"fresh":[{"first":18446744073709551615,`},
		"twice the same":      {`"path":"sub/exact"`, `"path":"sub/deep/large"`},
		"unknown kind":        {`"kind":"symlink"`, `"kind":"portal"`},
		"target of a dir":     {`"kind":"dir"`, `"kind":"symlink"`},
		"mode":                {`"mode":416`, `"mode":65535`},
		"one file less":       {`"end":{"files":`, `"end":{"files":1`},
		"text behind":         {`}}`, `}}{}`},
	} {
		text := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(text, good) {
			t.Errorf("%s: %q is not in the manifest", what, change[0])
		}
		try(what, text)
	}
	w.must(os.Truncate(path, 1<<40))
	if _, err := verify.ReadManifest(backup); err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("a terabyte: %v", err)
	}
	w.must(os.Remove(path))
	w.must(unix.Mkfifo(path, 0o600))
	if _, err := verify.ReadManifest(backup); err == nil {
		t.Error("a fifo: no error")
	}
	w.must(os.Remove(path))
	w.must(os.Symlink("/etc/passwd", path))
	if _, err := verify.ReadManifest(backup); err == nil {
		t.Error("a symlink: no error")
	}
	w.must(os.Remove(path))
	if _, err := verify.ReadManifest(backup); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}
