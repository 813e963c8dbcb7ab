package migrate_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/indextest"
	"tresor/index/migrate"
)

const precious = "a file that must survive, whatever a state file says about it\n"

// forge puts the state of a migration from src into dst, as whoever can write there may make it.
func forge(t *testing.T, src, dst *indextest.Volume, phase, identity string) {
	t.Helper()
	state := fmt.Sprintf("tresor migration 2\nfrom: %q\nsource: %q\nblocks: %q\nway: %q\nphase: %q\n", src.Dir, identity, "", "", phase)
	claim := fmt.Sprintf("tresor migration from %q\n", src.Dir)
	if err := errors.Join(os.WriteFile(dst.Path(format.MigrateName), []byte(state), 0o600), os.WriteFile(dst.Path(format.RebuildName), []byte(claim), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// identityOf is how a migration names the source, as it is.
func identityOf(t *testing.T, src *indextest.Volume) string {
	t.Helper()
	dst := destination(t)
	for n := int64(1); ; n++ {
		if _, err := run(newMortal(n), src.Dir, dst.Dir, migrate.Options{}); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(dst.Path(format.MigrateName)); err == nil {
			_, rest, _ := strings.Cut(string(text), `source: "`)
			id, _, _ := strings.Cut(rest, `"`)
			return id
		}
	}
}

// configure gives a volume another line of ddfs.cfg.
func configure(t *testing.T, v *indextest.Volume, change func(c *format.Config)) {
	t.Helper()
	c := *v.Config
	change(&c)
	if err := disk.WriteFileAtomic(v.FS, v.Path(format.ConfigName), c.Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHostileState: whoever can write into the destination makes a state with the right claim. Nothing outside changes.
func TestHostileState(t *testing.T) {
	for name, spoil := range map[string]func(src, dst *indextest.Volume, victim string){
		"tree is a symlink": func(src, dst *indextest.Volume, victim string) {
			if err := errors.Join(os.Rename(dst.Root, dst.Path("aside")), os.Symlink(filepath.Dir(victim), dst.Root)); err != nil {
				t.Fatal(err)
			}
			forge(t, src, dst, "files", "another")
		},
		"quarantine is a symlink": func(src, dst *indextest.Volume, victim string) {
			if err := os.Symlink(filepath.Dir(victim), dst.Path(format.QuarantineName)); err != nil {
				t.Fatal(err)
			}
			forge(t, src, dst, "files", "another")
		},
		"index is a stranger": func(src, dst *indextest.Volume, victim string) {
			configure(t, dst, func(c *format.Config) { c.IndexFilename = victim })
			forge(t, src, dst, "files", "another")
		},
		"block file is a stranger, copied in part": func(src, dst *indextest.Volume, victim string) {
			configure(t, dst, func(c *format.Config) { c.BlockFilename = victim })
			forge(t, src, dst, "copy", "another")
		},
		"block file is a stranger, to be replaced": func(src, dst *indextest.Volume, victim string) {
			configure(t, dst, func(c *format.Config) { c.BlockFilename = victim })
			forge(t, src, dst, "blocks", identityOf(t, src))
		},
	} {
		// Zeros at the beginning are what many files and devices have.
		for what, content := range map[string]string{"": precious, ", zeros first": strings.Repeat("\x00", 1<<20) + precious} {
			t.Run(name+what, func(t *testing.T) {
				src, _ := source(t)
				dst := destination(t)
				victim := filepath.Join(t.TempDir(), "precious.txt")
				if err := os.WriteFile(victim, []byte(content), 0o640); err != nil {
					t.Fatal(err)
				}
				spoil(src, dst, victim)
				r, err := run(nil, src.Dir, dst.Dir, migrate.Options{Move: true})
				if err == nil {
					t.Errorf("have %+v, want a refusal", r)
				}
				if have, err := os.ReadFile(victim); err != nil || string(have) != content {
					t.Errorf("the stranger's file: have %d bytes, %v", len(have), err)
				}
				if _, err := os.Lstat(src.BlocksPath); err != nil {
					t.Errorf("the block file of the source: %v", err)
				}
			})
		}
	}
}

// TestKilledIndexOnDevice kills a migration to an index on a device at each point: what stands on the device by then is known for what it is.
func TestKilledIndexOnDevice(t *testing.T) {
	m := disktest.New()
	files := map[string][]byte{"a": random(1, 10*block), "dir/b": random(2, 3*block-100)}
	src, dst := apart(t, m, "/s", "/sb", 200), apart(t, m, "/d", "/db", 300)
	src.Store(files)
	if err := errors.Join(m.AddDevice("/device", 1<<20), m.Remove(dst.IndexPath)); err != nil {
		t.Fatal(err)
	}
	configure(t, dst, func(c *format.Config) { c.IndexFilename = "/device" })
	x, err := indexfile.Create(m, "/device", dst.Reload().Config)
	if err := errors.Join(err, x.Close(), m.SyncFS("/")); err != nil {
		t.Fatal(err)
	}
	probe := disktest.NewMortal(m.Clone(), -1)
	if _, err := run(probe, "/s", "/d", migrate.Options{Move: true}); err != nil {
		t.Fatal(err)
	}
	for n := range probe.Steps() {
		d := m.Clone()
		if _, err := run(disktest.NewMortal(d, n), "/s", "/d", migrate.Options{Move: true}); !errors.Is(err, disktest.ErrKilled) {
			t.Fatalf("kill before change %d: have %v", n, err)
		}
		what := fmt.Sprintf("kill before change %d of %d", n, len(probe.Steps()))
		_, lstat := d.Lstat("/d/" + format.MigrateName)
		done := n > 0 && lstat != nil && index.CheckUnfinished(d, "/d") == nil
		if _, err := run(d, "/s", "/d", migrate.Options{Move: true}); err != nil && !(done && strings.Contains(err.Error(), "not a new, empty volume")) {
			t.Fatalf("%s: run again: %v", what, err)
		}
		if assertMoved(t, what, d, files); t.Failed() {
			return
		}
	}
}

// TestForeignOwner: with the state of another user, root would clear what lies in the destination.
func TestForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, name := range []string{format.MigrateName, format.RebuildName} {
		src, _ := source(t)
		dst := destination(t)
		dst.Store(map[string][]byte{"there": random(9, block)})
		forge(t, src, dst, "files", "another")
		if err := os.Chown(dst.Path(name), 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := run(nil, src.Dir, dst.Dir, migrate.Options{}); err == nil || !strings.Contains(err.Error(), "12345") {
			t.Errorf("%s of user 12345: have %v, want it refused", name, err)
		}
		if !exists(dst.Path("ddfsroot/there")) {
			t.Error("the destination was cleared")
		}
	}
}
