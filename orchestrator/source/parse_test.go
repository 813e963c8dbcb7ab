package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParseZFS: names as zfs list -H prints them; datasets may have blanks.
func TestParseZFS(t *testing.T) {
	const out = "tank/my data@tresor-01ARZ3NDEKTSV4RRFFQ69G5FAV\n" +
		"tank/my data@zfs-auto-snap_daily-2026-11-21-0017\n" +
		"tank/my data@tresor-01ARZ3NDEKTSV4RRFFQ69G5FAW\n" +
		"tank/my data 2@tresor-01ARZ3NDEKTSV4RRFFQ69G5FAX\n"
	want := []found{{name: "tresor-01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {name: "tresor-01ARZ3NDEKTSV4RRFFQ69G5FAW"}}
	if list := parseZFS("tank/my data", out); !slices.Equal(list, want) {
		t.Errorf("have %v, want %v", list, want)
	}
	if list := parseZFS("tank/my data", "no datasets available\n"); len(list) > 0 {
		t.Errorf("without snapshots: have %v", list)
	}
}

// TestParseLVS: a report of lvs 2.03.16, with a snapshot, one that ran full, and volumes with similar names.
func TestParseLVS(t *testing.T) {
	const out = `  {
      "report": [
          {
              "lv": [
                  {"vg_name":"vg0", "lv_name":"data", "origin":"", "lv_attr":"owi-aos---"},
                  {"vg_name":"vg0", "lv_name":"data-2", "origin":"", "lv_attr":"-wi-a-----"},
                  {"vg_name":"vg0", "lv_name":"tresor-01ARZ3NDEKTSV4RRFFQ69G5FAV", "origin":"data", "lv_attr":"swi-aos---"},
                  {"vg_name":"vg0", "lv_name":"tresor-01ARZ3NDEKTSV4RRFFQ69G5FAW", "origin":"data", "lv_attr":"swi-Ios---"},
                  {"vg_name":"vg0", "lv_name":"tresor-01ARZ3NDEKTSV4RRFFQ69G5FAX", "origin":"data-2", "lv_attr":"swi-aos---"},
                  {"vg_name":"vg1", "lv_name":"tresor-01ARZ3NDEKTSV4RRFFQ69G5FAY", "origin":"data", "lv_attr":"swi-aos---"},
                  {"vg_name":"vg0", "lv_name":"thin", "origin":"", "lv_attr":"Vwi-aotz--"},
                  {"vg_name":"vg0", "lv_name":"tresor-old", "origin":"data", "lv_attr":"swi-aos---"}
              ]
          }
      ]
  }
`
	list, err := parseLVS("vg0", "data", []byte(out))
	want := []found{{"tresor-01ARZ3NDEKTSV4RRFFQ69G5FAV", false}, {"tresor-01ARZ3NDEKTSV4RRFFQ69G5FAW", true}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("have %v %v, want %v", list, err, want)
	}
	none := "  {\n      \"report\": [\n          {\n              \"lv\": [\n              ]\n          }\n      ]\n  }\n"
	if list, err := parseLVS("vg0", "data", []byte(none)); err != nil || len(list) > 0 {
		t.Errorf("empty group: have %v %v", list, err)
	}
	for _, bad := range []string{"", "  LV VG Attr\n", "{}", `{"report":[]}`} {
		if _, err := parseLVS("vg0", "data", []byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// TestParseShow: what btrfs-progs 6.2 prints of a snapshot, and of the top of a file system.
func TestParseShow(t *testing.T) {
	const out = "data/.tresor/tresor-x\n\tName: \t\t\ttresor-x\n\tUUID: \t\t\t7c57a07b-be12-0d41-8b05-e527f9b2b84e\n" +
		"\tParent UUID: \t\td66876db-cdd1-2f47-80ba-6077ff8126aa\n\tReceived UUID: \t\t-\n\tCreation time: \t\t2026-11-22 08:49:14 +0000\n" +
		"\tSubvolume ID: \t\t257\n\tGeneration: \t\t7\n\tGen at creation: \t7\n\tParent ID: \t\t256\n\tTop level ID: \t\t256\n" +
		"\tFlags: \t\t\treadonly\n\tSend transid: \t\t0\n\tSnapshot(s):\n"
	want := subvolume{"7c57a07b-be12-0d41-8b05-e527f9b2b84e", "d66876db-cdd1-2f47-80ba-6077ff8126aa", true}
	if s, err := parseShow(out); err != nil || s != want {
		t.Errorf("snapshot: have %+v %v", s, err)
	}
	top := strings.NewReplacer("readonly", "-", "d66876db-cdd1-2f47-80ba-6077ff8126aa", "-").Replace(out)
	if s, err := parseShow(top); err != nil || s.readOnly || s.parent != "-" {
		t.Errorf("top: have %+v %v", s, err)
	}
	if _, err := parseShow("data\n\tName: \t\t\tdata\n"); err == nil {
		t.Error("without UUID: no error")
	}
}

// TestRefused: what cannot be a dataset, a volume or a place is refused before any command.
func TestRefused(t *testing.T) {
	p, sys := newPlace(t)
	for _, dataset := range []string{"", "/tank", "tank/", "tank//x", "-r", "tank@x", "tank/data@x", "tank/-r\n", "1tank", "tank#b", "tank%"} {
		if _, err := NewZFS(p, "dc", Options{}, dataset); err == nil {
			t.Errorf("dataset %q: no error", dataset)
		}
	}
	for _, v := range []LVMVolume{
		{"", "data", "1G", ""}, {"vg0", "", "1G", ""}, {"vg0", "-f", "1G", ""}, {"vg0", "a/b", "1G", ""}, {"..", "data", "1G", ""},
		{"vg0", "data", "1 G", ""}, {"vg0", "data", "-1G", ""}, {"vg0", "data", "10%", ""}, {"vg0", "data", "1G", "ext4,rw"},
	} {
		if _, err := NewLVM(p, "dc", Options{}, v); err == nil {
			t.Errorf("volume %+v: no error", v)
		}
	}
	for _, o := range []Options{{Name: ".."}, {Name: "/etc"}, {Name: "a/../../b"}, {Name: "."}, {Name: "a\x00"}, {Exclude: []string{"#b*-["}}, {Exclude: []string{""}}} {
		if _, err := NewZFS(p, "dc", o, "tank"); err == nil {
			t.Errorf("options %+v: no error", o)
		}
	}
	for _, machine := range []string{"", ".", "..", "a/b", "a\x00"} {
		if _, err := NewZFS(p, machine, Options{}, "tank"); err == nil {
			t.Errorf("machine %q: no error", machine)
		}
	}
	for _, dir := range []string{"", "run", "/", "/.."} {
		if _, err := NewPlace(PlaceOptions{Dir: dir}); err == nil {
			t.Errorf("place %q: no error", dir)
		}
	}
	if len(sys.lines) > 0 {
		t.Errorf("commands: %q", sys.lines)
	}
}

// TestSystem: what the real runner promises.
func TestSystem(t *testing.T) {
	run := System()
	out, err := run(t.Context(), Command{Argv: []string{"cat"}, Stdin: strings.NewReader("in")})
	if err != nil || string(out) != "in" {
		t.Errorf("cat: %q %v", out, err)
	}
	_, err = run(t.Context(), Command{Argv: []string{"ls", "/no such\nfile"}})
	if err == nil || !strings.Contains(err.Error(), "No such file") || strings.Contains(err.Error(), "\n") {
		t.Errorf("ls: error %q, want the program's own words on one line", err)
	}
	begun := time.Now()
	_, err = run(t.Context(), Command{Argv: []string{"sh", "-c", "sleep 60 & wait"}, Deadline: 200 * time.Millisecond, Patience: 300 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "not done within 200ms") || time.Since(begun) > 30*time.Second {
		t.Errorf("deadline: error %v after %v", err, time.Since(begun))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	cancel(stop)
	if _, err := run(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, stop) {
		t.Errorf("cancelled: have error %v", err)
	}
	if _, err := run(t.Context(), Command{}); err == nil {
		t.Error("no name: no error")
	}
	if _, err := run(t.Context(), Command{Argv: []string{"/no/such/program"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: have error %v", err)
	}
}

func TestDir(t *testing.T) {
	base := t.TempDir()
	dir, file, link := filepath.Join(base, "dir"), filepath.Join(base, "a file"), filepath.Join(base, "link")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(file, nil, 0o600), os.Symlink(dir, link)); err != nil {
		t.Fatal(err)
	}
	d, err := NewDir("my etc", DirOptions{Paths: []string{dir + "/", file, "/"}, Exclude: []string{"*.o"}, OneSystem: true})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := d.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	roots := tree.Roots()
	if len(roots) != 3 || roots[0].Path != dir || roots[0].Name != dir[1:] || roots[1].Path != file || roots[2].Name != "." || !roots[0].OneSystem {
		t.Errorf("roots: have %+v", roots)
	}
	if d.Machine() != "my etc" || d.Kind() != "dir" || tree.Token() != "" {
		t.Errorf("have machine %q, kind %q, token %q", d.Machine(), d.Kind(), tree.Token())
	}
	if err := errors.Join(tree.Close(t.Context()), d.Clean(t.Context(), nil)); err != nil {
		t.Error(err)
	}
	for want, path := range map[string]string{"no such file": filepath.Join(base, "missing"), "symbolic link: name what it leads to (" + dir: link} {
		d, err := NewDir("x", DirOptions{Paths: []string{dir, path}})
		if err != nil {
			t.Fatal(err)
		}
		var e *Error
		if _, err := d.Open(t.Context(), ""); !errors.As(err, &e) || e.Step != StepLook || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("path %s: have error %v, want %q in it", path, err, want)
		}
	}
	for _, paths := range [][]string{nil, {"etc"}, {""}, {"/etc", "/etc/"}, {"/srv", "/srv/data"}, {"/srv/data", "/srv"}, {"/", "/etc"}} {
		if _, err := NewDir("x", DirOptions{Paths: paths}); err == nil {
			t.Errorf("paths %q: no error", paths)
		}
	}
	if _, err := NewDir("x", DirOptions{Paths: []string{"/srv", "/srv-2", "/srv2/x"}}); err != nil {
		t.Errorf("similar names: %v", err)
	}
}
