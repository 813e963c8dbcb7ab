package mkfs_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/mkfs"
)

// TestRoomIsAskedWithoutAFile: a link in the place where a file was once made to find out the room leads nowhere, and a dry run makes nothing.
func TestRoomIsAskedWithoutAFile(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: small()}); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other+"/made", dir+"/ddfs.cfg.room.tmp"); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	if _, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{Parent: dir, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("dry run: have\n%s\nwant\n%s", after, before)
	}
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, Force: true, CreateOptions: small()}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(other + "/made"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("behind the link: have %v, want nothing", err)
	}
}

// TestDryRunChangesNothing holds it by the calls of the disk: not even for a moment.
func TestDryRunChangesNothing(t *testing.T) {
	m := used(t)
	m.Record()
	if _, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{FS: m, Parent: "/v", DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if ops := m.Ops(); len(ops) != 0 {
		t.Errorf("have %v, want no change", ops)
	}
}

// renewalText is a .ddfsreinit as anybody can write it.
func renewalText(t testing.TB, stage, index, blocks string, o format.CreateOptions) string {
	t.Helper()
	c, err := format.NewConfig(o)
	if err != nil {
		t.Fatal(err)
	}
	head := "tresor reinit 1\n" + stage + "\n" + strconv.Quote(index) + "\n" + strconv.Quote(blocks) + "\n"
	sum := sha256.Sum256([]byte(head + string(c.Marshal())))
	return head + hex.EncodeToString(sum[:]) + "\n" + string(c.Marshal())
}

// TestHostileRenewal: no .ddfsreinit makes reinit remove or overwrite an empty file, or one of zeros, that is not in the parent directory.
func TestHostileRenewal(t *testing.T) {
	for _, text := range []string{"", strings.Repeat("\x00", 5000), "DDUM"} {
		for _, old := range []bool{true, false} {
			m := disktest.New()
			m.MkdirAll("/v")
			m.MkdirAll("/other")
			put(t, m, "/other/a", text)
			put(t, m, "/other/b", text)
			o := small()
			from := [2]string{"/other/a", "/other/b"}
			if !old {
				from = [2]string{"/v/ddfsidx", "/v/ddfsblocks"}
				o.IndexFilename, o.BlockFilename = "/other/a", "/other/b"
			}
			put(t, m, "/v/.ddfsreinit", renewalText(t, "clearing", from[0], from[1], o))
			r, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{FS: m, Parent: "/v"})
			if old && (err != nil || !slices.Equal(r.Left, from[:])) {
				t.Errorf("%q: have %+v, %v, want both left", text, r, err)
			}
			if !old && !errors.Is(err, mkfs.ErrNotEmpty) {
				t.Errorf("%q: have %v, want ErrNotEmpty", text, err)
			}
			for _, name := range []string{"/other/a", "/other/b"} {
				if have, err := get(m, name); err != nil || string(have) != text {
					t.Errorf("%s: have %d bytes, %v, want the %d of before", name, len(have), err, len(text))
				}
			}
		}
	}
}

// TestFilesInUse: an index or block file outside that another volume uses is neither removed nor overwritten.
func TestFilesInUse(t *testing.T) {
	for _, held := range []string{"/other/idx", "/other/blocks"} {
		for _, how := range []string{"reinit", "reinit to other names", "mkfs", "resumed"} {
			m := disktest.New()
			m.MkdirAll("/v")
			m.MkdirAll("/other")
			o := small()
			o.IndexFilename, o.BlockFilename = "/other/idx", "/other/blocks"
			if _, err := mkfs.Make(mkfs.Options{FS: m, Parent: "/v", CreateOptions: o}); err != nil {
				t.Fatal(err)
			}
			if how == "resumed" {
				put(t, m, "/v/.ddfsreinit", renewalText(t, "clearing", "/other/idx", "/other/blocks", small()))
				if err := m.Remove("/v/ddfs.cfg"); err != nil {
					t.Fatal(err)
				}
			}
			before := image(t, m)
			lock, err := m.Lock(held)
			if err != nil {
				t.Fatal(err)
			}
			var outside []string
			re := mkfs.ReinitOptions{FS: m, Parent: "/v", Confirm: func(l *mkfs.Loss) error { outside = l.Outside; return nil }}
			run := func() (err error) {
				switch how {
				case "mkfs":
					_, err = mkfs.Make(mkfs.Options{FS: m, Parent: "/v", Force: true, CreateOptions: o})
				case "reinit to other names":
					re.Change = func(o *format.CreateOptions) { o.IndexFilename, o.BlockFilename = "", "" }
					fallthrough
				default:
					_, err = mkfs.Reinit(context.Background(), re)
				}
				return err
			}
			if err := run(); !errors.Is(err, format.ErrBusy) || !strings.Contains(err.Error(), held) {
				t.Errorf("%s, %s held: have %v, want ErrBusy and the name", how, held, err)
			}
			assertImage(t, how, m, before)
			lock.Close()
			if err := run(); err != nil {
				t.Errorf("%s, free: %v", how, err)
			}
			if strings.HasPrefix(how, "reinit") && !slices.Equal(outside, []string{"/other/idx", "/other/blocks"}) {
				t.Errorf("%s: told of %q, want both files outside", how, outside)
			}
			m.CheckLeaks(t)
		}
	}
}

// TestLockThatFails: only what is not there and what cannot be locked where it lies goes without a lock.
func TestLockThatFails(t *testing.T) {
	for _, cause := range []error{unix.EMFILE, unix.EIO, unix.EOPNOTSUPP} {
		for n := range 2 {
			m := oldVolume(t)
			before := image(t, m)
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Lock}, N: 1 + n, Err: cause})
			_, err := mkfs.Make(newOptions(m))
			switch {
			case m.Fired() != 1:
				t.Fatalf("the fault fired %d times", m.Fired())
			case errors.Is(cause, errors.ErrUnsupported):
				if err != nil {
					t.Errorf("lock %d, %v: %v", n, cause, err)
				}
			default:
				if !errors.Is(err, cause) || errors.Is(err, format.ErrBusy) {
					t.Errorf("lock %d: have %v, want %v", n, err, cause)
				}
				assertImage(t, "not locked", m, before)
			}
			m.CheckLeaks(t)
		}
	}
}

// TestDryRunNamesOutside: what will be removed elsewhere is told before.
func TestDryRunNamesOutside(t *testing.T) {
	dir, o := t.TempDir(), small()
	o.BlockFilename = filepath.Join(t.TempDir(), "blocks")
	if _, err := mkfs.Make(mkfs.Options{Parent: dir, CreateOptions: o}); err != nil {
		t.Fatal(err)
	}
	r, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{Parent: dir, DryRun: true})
	if err != nil || !slices.Equal(r.Loss.Outside, []string{o.BlockFilename}) {
		t.Errorf("have %+v, %v, want %s", r, err, o.BlockFilename)
	}
}
