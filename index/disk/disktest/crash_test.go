package disktest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/disk/disktest"
)

func create(t *testing.T, m disk.FS, name string) disk.File {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f disk.File, off int64, content string) {
	t.Helper()
	if err := disk.WriteFull(f, []byte(content), off); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// content is all of a file, or "absent".
func content(t *testing.T, m disk.FS, name string) string {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	must(t, disk.ReadFull(f, p, 0))
	return string(p)
}

// TestCrash runs a script and looks at one file after a power cut at its end.
func TestCrash(t *testing.T) {
	errSync := fmt.Errorf("no sync: %w", unix.EIO)
	tests := []struct {
		name       string
		run        func(t *testing.T, m *disktest.FS, f disk.File)
		keep, drop string
	}{
		{"unsynced data", func(t *testing.T, _ *disktest.FS, f disk.File) { write(t, f, 0, "new") }, "new", "old"},
		{"synced data", func(t *testing.T, _ *disktest.FS, f disk.File) {
			write(t, f, 0, "new")
			must(t, f.Sync())
			write(t, f, 0, "xx")
		}, "xxw", "new"},
		{"truncate", func(t *testing.T, _ *disktest.FS, f disk.File) { must(t, f.Truncate(1)) }, "o", "old"},
		{"punch", func(t *testing.T, _ *disktest.FS, f disk.File) { must(t, f.Punch(0, 2)) }, "\x00\x00d", "old"},
		{"truncating open", func(t *testing.T, m *disktest.FS, _ disk.File) {
			g, err := m.OpenFile("/f", os.O_RDWR|os.O_TRUNC, 0)
			must(t, err)
			must(t, g.Close())
		}, "", "old"},
		{"failed sync", func(t *testing.T, m *disktest.FS, f disk.File) {
			write(t, f, 0, "new")
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Sync}, Err: errSync})
			if err := f.Sync(); !errors.Is(err, errSync) {
				t.Fatalf("sync: have %v", err)
			}
			must(t, f.Sync()) // too late
		}, "new", "old"},
		{"removed", func(t *testing.T, m *disktest.FS, _ disk.File) { must(t, m.Remove("/f")) }, "absent", "old"},
		{"removed, synced", func(t *testing.T, m *disktest.FS, _ disk.File) {
			must(t, m.Remove("/f"))
			must(t, m.SyncDir("/"))
		}, "absent", "absent"},
		{"replaced", func(t *testing.T, m *disktest.FS, _ disk.File) {
			g := create(t, m, "/g")
			write(t, g, 0, "new")
			must(t, g.Sync())
			must(t, m.Rename("/g", "/f"))
		}, "new", "old"},
		{"replaced without data sync", func(t *testing.T, m *disktest.FS, _ disk.File) {
			write(t, create(t, m, "/g"), 0, "new")
			must(t, m.Rename("/g", "/f"))
			must(t, m.SyncDir("/"))
		}, "new", ""},
		{"replaced atomically", func(t *testing.T, m *disktest.FS, _ disk.File) {
			must(t, disk.WriteFileAtomic(m, "/f", []byte("new"), 0o600))
		}, "new", "new"},
		{"wrong directory synced", func(t *testing.T, m *disktest.FS, _ disk.File) {
			must(t, m.Mkdir("/d", 0o700))
			must(t, m.Rename("/f", "/d/f"))
			must(t, m.SyncDir("/d"))
		}, "absent", "old"},
		{"syncfs", func(t *testing.T, m *disktest.FS, f disk.File) {
			write(t, f, 0, "new")
			must(t, m.Rename("/f", "/g"))
			must(t, m.Rename("/g", "/f"))
			must(t, m.SyncFS("/"))
		}, "new", "new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := disktest.New()
			m.CheckLeaks(t)
			f := create(t, m, "/f")
			write(t, f, 0, "old")
			m.Record()
			tt.run(t, m, f)
			k := len(m.Ops())
			if have := content(t, m.Crash(k, disktest.Keep, 0), "/f"); have != tt.keep {
				t.Errorf("keep after %v: have %q, want %q", m.Ops(), have, tt.keep)
			}
			if have := content(t, m.Crash(k, disktest.Drop, 0), "/f"); have != tt.drop {
				t.Errorf("drop after %v: have %q, want %q", m.Ops(), have, tt.drop)
			}
			if have := content(t, m.Crash(0, disktest.Keep, 0), "/f"); have != "old" {
				t.Errorf("before the first change: have %q, want the old content", have)
			}
		})
	}
}

// TestAtomicReplaceAtEveryPoint: whatever the power cut does, the file is old
// or new. The same without the sync must be seen to break, or the test could
// not fail.
func TestAtomicReplaceAtEveryPoint(t *testing.T) {
	oldText, newText := strings.Repeat("o", 10_000), strings.Repeat("n", 9_000)
	count := func(replace func(m *disktest.FS)) (broken int) {
		m := disktest.New()
		must(t, disk.WriteFileAtomic(m, "/f", []byte(oldText), 0o600))
		m.Record()
		replace(m)
		for k := range len(m.Ops()) + 1 {
			for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
				for seed := range uint64(50) {
					have := content(t, m.Crash(k, how, seed), "/f")
					if have != oldText && have != newText || k == len(m.Ops()) && have != newText {
						broken++
					}
				}
			}
		}
		return broken
	}
	if n := count(func(m *disktest.FS) {
		must(t, disk.WriteFileAtomic(m, "/f", []byte(newText), 0o600))
	}); n > 0 {
		t.Errorf("atomic replacement: %d crash images are neither old nor new", n)
	}
	if n := count(func(m *disktest.FS) {
		g := create(t, m, "/g")
		write(t, g, 0, newText)
		must(t, m.Rename("/g", "/f"))
		must(t, m.SyncDir("/"))
	}); n == 0 {
		t.Error("replacement without sync: no crash image shows it")
	}
}

// TestTornWrites: every sector of a torn image is one that was written there,
// or what was durable; equal seeds give equal images; and tearing happens.
func TestTornWrites(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	m := disktest.New()
	f := create(t, m, "/f")
	write(t, f, 0, strings.Repeat("a", 64<<10))
	m.Record()
	allowed := [128]string{}
	for i := range allowed {
		allowed[i] = "a"
	}
	for i := range 20 {
		at, n := rng.IntN(100), 1+rng.IntN(28)
		write(t, f, int64(at)*512, strings.Repeat(string(rune('b'+i)), n*512))
		for s := at; s < at+n; s++ {
			allowed[s] += string(rune('b' + i))
		}
	}
	differ := map[string]bool{}
	for s := range uint64(30) {
		img := content(t, m.Crash(20, disktest.Torn, seed+s), "/f")
		if img != content(t, m.Crash(20, disktest.Torn, seed+s), "/f") {
			t.Fatalf("seed %d gives two images", seed+s)
		}
		differ[img] = true
		for i, ok := range allowed {
			sector := img[i*512 : i*512+512]
			if !strings.Contains(ok, sector[:1]) || strings.Trim(sector, sector[:1]) != "" {
				t.Fatalf("seed %d: sector %d is %q, want one of %q, whole", seed+s, i, sector[:1], ok)
			}
		}
	}
	if len(differ) < 20 {
		t.Errorf("seed %d: only %d different images of 30", seed, len(differ))
	}
}

func TestCloneIsIndependent(t *testing.T) {
	m := disktest.New()
	f := create(t, m, "/f")
	write(t, f, 0, "one")
	must(t, m.Link("/f", "/g"))
	c := m.Clone()
	write(t, f, 0, "two")
	g := create(t, c, "/f")
	if have := content(t, c, "/g"); have != "one" {
		t.Errorf("clone: have %q, want %q", have, "one")
	}
	write(t, g, 0, "six")
	if have := content(t, c, "/g"); have != "six" {
		t.Errorf("hard link in the clone: have %q, want %q", have, "six")
	}
	if have := content(t, m, "/f"); have != "two" {
		t.Errorf("original: have %q, want %q", have, "two")
	}
}

func TestCapacity(t *testing.T) {
	m := disktest.New()
	m.SetCapacity(3 * 4096)
	f := create(t, m, "/f")
	n, err := f.WriteAt(bytes.Repeat([]byte{1}, 4*4096), 0)
	if n != 3*4096 || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("write beyond the room: have %d, %v, want %d, ENOSPC", n, err, 3*4096)
	}
	if free, _ := f.Free(); free != 0 {
		t.Errorf("free: have %d, want 0", free)
	}
	write(t, f, 100, "in place needs no room")
	must(t, f.Punch(4096, 4096))
	write(t, create(t, m, "/g"), 0, "room again")
	if err := f.Allocate(1<<20, 4096); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("allocate on a full disk: have %v, want ENOSPC", err)
	}
	must(t, m.Remove("/f"))
	if free, _ := f.Free(); free != 0 {
		t.Errorf("free with the removed file open: have %d, want 0", free)
	}
	must(t, f.Close())
	if free, _ := create(t, m, "/g").Free(); free != 2*4096 {
		t.Errorf("free after close: have %d, want %d", free, 2*4096)
	}
}
