package mkfs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/mkfs"
)

// used is a disk with a volume of 300 blocks that was in use, with every file that a volume can have, and others that stay.
func used(t testing.TB) *disktest.FS {
	t.Helper()
	m := disktest.New()
	m.MkdirAll("/other")
	v := indextest.New(t, indextest.Options{FS: m, Dir: "/v", Blocks: 300})
	v.Store(map[string][]byte{"a": []byte(strings.Repeat("x", 9000)), "deep/er/b": []byte("text"), "deep/c": nil})
	m.MkdirAll("/v/ddfsquarantine/dir")
	m.MkdirAll("/v/mine")
	for _, name := range []string{".autofsck", ".autofsck.clean", ".autofsck.tmp", "ddfsusedblocks.0", "ddfsusedblocks.tmp",
		".ddfspack", ".ddfspack.tmp",
		".ddfsresize", ".ddfsscrub", ".ddfsscrub.tmp", ".ddfsresize.redo", ".ddfsmigrate", ".ddfssnapshot.tmp", ".rebuildfsck", "ddfs.cfg.tmp",
		"ddfsquarantine/dir/file", "mine/file", "foreign", "ddfsroot/.ddumbfs/ddumbfs.log", "ddfsroot/deep/er/short"} {
		put(t, m, "/v/"+name, "text of "+name)
	}
	if err := m.Symlink("/v/ddfsroot/link"); err != nil {
		t.Fatal(err)
	}
	v.Sync()
	return m
}

// fresh is what a reinit has to leave: a new volume beside the files that stay.
func fresh(t testing.TB, o format.CreateOptions) map[string]string {
	t.Helper()
	m := disktest.New()
	m.MkdirAll("/v")
	m.MkdirAll("/other")
	if _, err := mkfs.Make(mkfs.Options{FS: m, Parent: "/v", CreateOptions: o}); err != nil {
		t.Fatal(err)
	}
	m.MkdirAll("/v/mine")
	for _, name := range []string{"mine/file", "foreign"} {
		put(t, m, "/v/"+name, "text of "+name)
	}
	return image(t, m)
}

// image is every name on a disk, with the content of files.
func image(t testing.TB, m *disktest.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		list, err := m.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			name := dir + "/" + d.Name()
			all[name] = fmt.Sprint(d.Type())
			if d.IsDir() {
				walk(name)
			} else if d.Type().IsRegular() {
				data, err := get(m, name)
				if err != nil {
					t.Fatal(err)
				}
				all[name] = string(data)
			}
		}
	}
	walk("")
	return all
}

func assertImage(t testing.TB, what string, m *disktest.FS, want map[string]string) {
	t.Helper()
	have := image(t, m)
	for name := range want {
		if h, ok := have[name]; !ok || h != want[name] {
			t.Errorf("%s: %s: have %d bytes (there: %v), want %d", what, name, len(h), ok, len(want[name]))
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is there, want it gone", what, name)
		}
	}
}

// reinitCases are kinds of a new volume in place of the one of used.
func reinitCases() map[string]struct {
	change func(*format.CreateOptions)
	want   format.CreateOptions
} {
	old := format.CreateOptions{Hash: "TIGER", Size: 300 * 4096, BlockSize: 4096, Overflow: 1.3}
	moved := old
	moved.Hash, moved.BlockSize, moved.Size, moved.ReuseASAP, moved.Overflow = "SHA1", 512, 100*512, true, 2
	moved.IndexFilename, moved.BlockFilename = "/other/idx", "/other/blocks"
	return map[string]struct {
		change func(*format.CreateOptions)
		want   format.CreateOptions
	}{
		"same":  {nil, old},
		"moved": {func(o *format.CreateOptions) { *o = moved }, moved},
	}
}

func TestReinit(t *testing.T) {
	for name, tt := range reinitCases() {
		t.Run(name, func(t *testing.T) {
			m := used(t)
			before := image(t, m)
			var told mkfs.Loss
			o := mkfs.ReinitOptions{FS: m, Parent: "/v", Change: tt.change, DryRun: true}
			if r, err := mkfs.Reinit(context.Background(), o); err != nil || r.Loss.Used == 0 {
				t.Fatalf("dry run: have %+v, %v", r, err)
			}
			assertImage(t, "dry run", m, before)
			no := errors.New("no")
			o.DryRun, o.Confirm = false, func(*mkfs.Loss) error { return no }
			if _, err := mkfs.Reinit(context.Background(), o); !errors.Is(err, no) {
				t.Fatalf("not confirmed: have %v", err)
			}
			assertImage(t, "not confirmed", m, before)
			o.Confirm = func(l *mkfs.Loss) error { told = *l; return nil }
			r, err := mkfs.Reinit(context.Background(), o)
			if err != nil || len(r.Left) != 0 || r.Resumed {
				t.Fatalf("have %+v, %v", r, err)
			}
			// a, b, c, the one without a sound header, and the one set aside; a and b have three blocks of data.
			if !reflect.DeepEqual(told, mkfs.Loss{Files: 5, Bytes: 9004, Unreadable: 2, Used: 5}) {
				t.Errorf("loss: have %+v", told)
			}
			assertImage(t, "new volume", m, fresh(t, tt.want))
			indextest.AssertStatus(t, m, "/v", fsck.OK)
		})
	}
}

// TestCrashOfReinit cuts the power before each change of a reinit and runs it again: the end is that of an uninterrupted one. In between the
// volume is whole, or refused by every tool with the command that goes on.
func TestCrashOfReinit(t *testing.T) {
	for name, tt := range reinitCases() {
		t.Run(name, func(t *testing.T) {
			m := used(t)
			want := fresh(t, tt.want)
			m.Record()
			o := mkfs.ReinitOptions{FS: m, Parent: "/v", Change: tt.change}
			if _, err := mkfs.Reinit(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			ops, images, resumed, asked := len(m.Ops()), 0, 0, 0
			for k := range ops + 1 {
				for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
					what := fmt.Sprintf("crash before change %d of %d, %v", k, ops, how)
					img := m.Crash(k, how, uint64(k))
					images++
					assertRefused(t, what, img)
					o.FS = img
					o.Confirm = func(*mkfs.Loss) error { asked++; return nil }
					r, err := mkfs.Reinit(context.Background(), o)
					if err != nil {
						t.Fatalf("%s: reinit again: %v", what, err)
					}
					if r.Resumed {
						resumed++
					}
					assertImage(t, what, img, want)
					img.CheckLeaks(t)
					if t.Failed() {
						return
					}
				}
			}
			t.Logf("%d changes, %d crash images, %d went on, %d asked", ops, images, resumed, asked)
			if resumed < images/2 || asked == 0 {
				t.Errorf("have %d of %d that went on, %d that asked: the test sees too little", resumed, images, asked)
			}
		})
	}
}

// assertRefused holds that nobody takes a volume for one while a reinit is under way.
func assertRefused(t *testing.T, what string, m *disktest.FS) {
	t.Helper()
	_, planErr := m.Lstat("/v/.ddfsreinit")
	p, err := index.Acquire(index.Location{FS: m, Parent: "/v/mine"}, index.Read)
	if planErr != nil {
		if err != nil {
			t.Errorf("%s: have %v, want a volume", what, err)
			return
		}
		p.Close()
		return
	}
	if err == nil {
		err = index.CheckUnfinished(m, "/v")
		p.Close()
	}
	var unfinished *index.UnfinishedError
	if !errors.As(err, &unfinished) || unfinished.Command != "ddumbfs reinit /v" {
		t.Errorf("%s: have %v, want the command that goes on", what, err)
	}
}

// TestFaultsOfReinit fails its disk calls in turn: it says so, and the next one ends as one without a fault.
func TestFaultsOfReinit(t *testing.T) {
	m := used(t)
	tt := reinitCases()["moved"]
	want := fresh(t, tt.want)
	probe := m.Clone()
	probe.ResetCalls()
	if _, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{FS: probe, Parent: "/v", Change: tt.change}); err != nil {
		t.Fatal(err)
	}
	cases, failed := 0, 0
	calls := probe.Calls()
	for _, call := range probe.SortedCalls() {
		for n := range calls[call] {
			for _, fault := range []disktest.Fault{{}, {Err: unix.ENOSPC, Partial: 5}} {
				if n%3 > 0 && os.Getenv("TRESOR_LONG") == "" {
					continue
				}
				img := m.Clone()
				fault.Call, fault.N = call, n
				img.Inject(fault)
				o := mkfs.ReinitOptions{FS: img, Parent: "/v", Change: tt.change}
				r, err := mkfs.Reinit(context.Background(), o)
				img.Heal()
				what := fmt.Sprintf("%s in %s, call %d, %v: %v", call.Kind, call.Site, n, fault.Err, err)
				cases++
				if err != nil {
					failed++
					if _, err := mkfs.Reinit(context.Background(), o); err != nil {
						t.Fatalf("%s: again: %v", what, err)
					}
				} else if len(r.Left) > 0 {
					continue // what could not be looked at stays, and is named
				}
				assertImage(t, what, img, want)
				img.CheckLeaks(t)
				if t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d faults, %d of them ended a reinit", cases, failed)
}

func TestReinitRefuses(t *testing.T) {
	tests := []struct {
		name   string
		before func(m *disktest.FS)
		change func(*format.CreateOptions)
		want   error
	}{
		{"no volume", func(m *disktest.FS) { m.Remove("/v/ddfs.cfg") }, nil, mkfs.ErrNoVolume},
		{"no directory", func(m *disktest.FS) { m.Rename("/v", "/w") }, nil, fs.ErrNotExist},
		{"somebody owns it", func(m *disktest.FS) { m.Lock("/v") }, nil, format.ErrBusy},
		{"index of somebody else at the new place", func(m *disktest.FS) { put(t, m, "/other/idx", format.MagicIndex) },
			func(o *format.CreateOptions) { o.IndexFilename = "/other/idx" }, mkfs.ErrNotEmpty},
		{"something else where the blocks were", func(m *disktest.FS) {
			m.Remove("/v/ddfsblocks")
			put(t, m, "/v/ddfsblocks", "a letter")
		}, nil, mkfs.ErrNotEmpty},
		{"a name with another use", func(*disktest.FS) {}, func(o *format.CreateOptions) { o.IndexFilename = ".ddfspack" }, nil},
		{"an unknown hash", func(*disktest.FS) {}, func(o *format.CreateOptions) { o.Hash = "MD5" }, format.ErrUnsupported},
		{"damaged .ddfsreinit and no configuration", func(m *disktest.FS) {
			m.Remove("/v/ddfs.cfg")
			put(t, m, "/v/.ddfsreinit", "tresor reinit 1\nmade\n")
		}, nil, format.ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := used(t)
			tt.before(m)
			before := image(t, m)
			o := mkfs.ReinitOptions{FS: m, Parent: "/v", Change: tt.change}
			if _, err := mkfs.Reinit(context.Background(), o); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("have %v, want %v", err, tt.want)
			}
			assertImage(t, "refused", m, before)
			if !errors.Is(tt.want, mkfs.ErrNotEmpty) {
				return
			}
			o.Force = true
			if _, err := mkfs.Reinit(context.Background(), o); err != nil {
				t.Errorf("with force: %v", err)
			}
		})
	}
}

// TestReinitOfHostileTree removes a tree that is deeper than any path may be long, with symlinks that lead out of it.
func TestReinitOfHostileTree(t *testing.T) {
	dir := t.TempDir()
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: format.CreateOptions{Size: 1 << 20, BlockSize: 4096}}); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	write(t, outside+"/keep", "text")
	root, err := os.OpenRoot(dir + "/ddfsroot")
	if err != nil {
		t.Fatal(err)
	}
	step := strings.Repeat("d", 200)
	for range 60 {
		if err := errors.Join(root.Mkdir(step, 0o700), root.Symlink(outside, "out")); err != nil {
			t.Fatal(err)
		}
		next, err := root.OpenRoot(step)
		if err != nil {
			t.Fatal(err)
		}
		root.Close()
		root = next
	}
	root.Close()
	r, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{Parent: dir})
	if err != nil || r.Loss.Files != 0 {
		t.Fatalf("have %+v, %v", r, err)
	}
	if _, err := os.Stat(outside + "/keep"); err != nil {
		t.Errorf("a file behind a symlink: %v", err)
	}
	indextest.AssertClean(t, dir)
}
