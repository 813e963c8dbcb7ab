package golden_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tresor/index/fsck"
	"tresor/integration/goldenvol"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// serve mounts a golden volume and compares its tree with what the original had in it.
func serve(t *testing.T, name string, o mounttest.Options) *mounttest.Mount {
	t.Helper()
	o.Parent = mounttest.Golden(t, name)
	m := mounttest.Volume(t, o)
	same(t, m, name)
	return m
}

func same(t *testing.T, m *mounttest.Mount, name string) {
	t.Helper()
	want := goldenvol.Tree(t, name)
	if slices.Contains(goldenvol.Names(goldenvol.Sound), name) {
		have, err := goldenvol.ReadTree(m.Point)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range goldenvol.Diff(have, want, nil) {
			t.Error(line)
		}
		return
	}
	for _, w := range want { // one by one: what the damage made may be unreadable
		if have, err := entry(m.Path(w.Path), w.Path); err != nil || have != w {
			t.Errorf("%s: have %+v, %v; want %+v", w.Path, have, err, w)
		}
	}
	for _, path := range list(t, m.Point) {
		named := slices.ContainsFunc(want, func(e goldenvol.Entry) bool { return e.Path == path })
		if !named && !strings.HasPrefix(path, "ff_") && path != "unfinished" {
			t.Errorf("%s: extra", path)
		}
	}
}

// entry reads one object in the form of the trees.
func entry(name, path string) (goldenvol.Entry, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return goldenvol.Entry{}, err
	}
	e := goldenvol.Entry{Path: path, Type: 'd', Mode: info.Mode().Perm()}
	switch {
	case info.Mode().IsRegular():
		e.Type, e.Size = 'f', info.Size()
		var data []byte
		data, err = os.ReadFile(name)
		e.Sum = fmt.Sprintf("%x", sha256.Sum256(data))
	case info.Mode()&fs.ModeSymlink != 0:
		e.Type = 'l'
		e.Link, err = os.Readlink(name)
	}
	return e, err
}

// list has the paths of all objects of a tree but the special directory.
func list(t *testing.T, root string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".ddumbfs" {
			return fs.SkipDir
		}
		if path != root {
			paths = append(paths, path[len(root)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// Every sound volume is served as it is, worked on, mounted again, worked on again, and is clean at every unmount.
func TestSound(t *testing.T) {
	for i, name := range goldenvol.Names(goldenvol.Sound) {
		t.Run(name, func(t *testing.T) {
			m := serve(t, name, mounttest.Options{Daemon: i%2 == 1})
			w := load(t, m)
			for _, list := range []string{"verify=always", "direct=always,pool=0", "direct=never"} {
				w.churn(60)
				w.compare("while mounted")
				w.m = w.m.Remount(list)
				w.compare("after a remount with " + list)
			}
			if err := w.reclaim(); err != nil {
				t.Error(err)
			}
			w.compare("after the reclaim")
		})
	}
}

// A volume whose mount process was killed is repaired at mount; what was complete is right, and it can be worked on.
func TestKilled(t *testing.T) {
	for i, name := range goldenvol.Names(goldenvol.Killed) {
		t.Run(name, func(t *testing.T) {
			m := serve(t, name, mounttest.Options{Daemon: i%2 == 1, Verdict: []fsck.Status{fsck.OK, fsck.Lost}})
			m = m.Remount("verify=always")
			same(t, m, name)
		})
	}
}

// Every file of a damaged volume whose own entries and blocks are intact is served as it was.
func TestDamaged(t *testing.T) {
	for i, name := range goldenvol.Names(goldenvol.Damaged) {
		t.Run(name, func(t *testing.T) {
			m := serve(t, name, mounttest.Options{Daemon: i%2 == 1, List: "check", Verdict: []fsck.Status{fsck.OK, fsck.Lost}})
			m = m.Remount("verify=always")
			same(t, m, name)
		})
	}
}

// Empty volumes of the original take data.
func TestEmpty(t *testing.T) {
	for i, name := range goldenvol.Names(goldenvol.Empty) {
		t.Run(name, func(t *testing.T) {
			w := load(t, serve(t, name, mounttest.Options{Daemon: i%4 == 3}))
			w.churn(20)
			w.m = w.m.Remount("")
			w.compare("after a remount")
		})
	}
}
