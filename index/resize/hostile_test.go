package resize_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/resize"
)

// target is a volume whose state files somebody else made, and a file outside that is not theirs.
type target struct {
	t           *testing.T
	v           *indextest.Volume
	victim      string
	old, new    format.Config
	ino, inside uint64 // of the victim, of a stored file
}

const precious = "DDUMBFSF: a file that must survive, whatever a state file says about it\n"

func newTarget(t *testing.T) *target {
	t.Helper()
	x := &target{t: t, victim: filepath.Join(t.TempDir(), "precious.txt")}
	x.v = indextest.New(t, indextest.Options{FS: disk.OS(), Dir: filepath.Join(t.TempDir(), "v"), Blocks: 200})
	x.v.Store(map[string][]byte{"a": random(1, 5*block), "dir/b": random(2, 3*block)})
	x.must(os.WriteFile(x.victim, []byte(precious), 0o640))
	x.must(os.Chtimes(x.victim, time.Unix(1, 0), time.Unix(1e9, 0)))
	x.ino = sysIno(lstat(t, disk.OS(), x.victim))
	x.inside = sysIno(lstat(t, disk.OS(), x.v.Path("ddfsroot/a")))
	x.old = *x.v.Config
	n, err := format.NewConfig(format.CreateOptions{Hash: x.old.Hash, Size: 300 * block, BlockSize: block, Overflow: x.old.Overflow,
		IndexFilename: x.old.IndexFilename, BlockFilename: x.old.BlockFilename})
	x.must(err)
	x.new = *n
	return x
}

func (x *target) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// forge is a resize of the volume in a phase.
func (x *target) forge(phase string) *resize.Forged {
	return &resize.Forged{Phase: phase, Old: string(x.old.Marshal()), New: string(x.new.Marshal()), From: x.old.IndexFilename, Place: "file"}
}

// elsewhere is a configuration with its index at a path.
func elsewhere(c format.Config, path string) string {
	c.IndexFilename = path
	return string(c.Marshal())
}

func (x *target) piece(path string) resize.ForgedPiece {
	return resize.ForgedPiece{Path: path, Ino: x.ino, Length: int64(len(precious)), Off: 24, Data: []byte("root::0:0:")}
}

// TestHostileState: whoever can write into the volume makes a state with valid sums. Nothing outside the volume changes.
func TestHostileState(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(x *target) *resize.Forged
		want string // in the error; "" if the resize may end
	}{
		{"old index is a stranger", func(x *target) *resize.Forged {
			f := x.forge("done")
			f.New, f.From = f.Old, x.victim
			return f
		}, "old index"},
		{"old configuration names a stranger", func(x *target) *resize.Forged {
			f := x.forge("done")
			f.New, f.Old, f.From = f.Old, elsewhere(x.old, x.victim), x.victim
			return f
		}, ""},
		{"another volume's", func(x *target) *resize.Forged {
			x.old.Overflow, x.new.Overflow = 1.7, 1.7
			o, err := format.NewConfig(format.CreateOptions{Hash: x.old.Hash, Size: 100 * block, BlockSize: block, Overflow: 1.5,
				IndexFilename: x.old.IndexFilename, BlockFilename: x.old.BlockFilename})
			x.must(err)
			f := x.forge("switch")
			f.Old = string(o.Marshal())
			f.New = f.Old
			return f
		}, "another volume"},
		{"piece above", func(x *target) *resize.Forged {
			f := x.forge("files")
			rel, err := filepath.Rel(x.v.Dir, x.victim)
			x.must(err)
			f.Pieces = append(f.Pieces, x.piece(rel))
			return f
		}, "no path of a stored file"},
		{"piece above, through the tree", func(x *target) *resize.Forged {
			f := x.forge("files")
			rel, err := filepath.Rel(x.v.Path("ddfsroot"), x.victim)
			x.must(err)
			f.Pieces = append(f.Pieces, x.piece("ddfsroot/"+rel))
			return f
		}, "no path of a stored file"},
		{"piece is the volume's own file", func(x *target) *resize.Forged {
			x.must(os.Rename(x.victim, x.v.Path("precious.txt")))
			x.victim = x.v.Path("precious.txt")
			f := x.forge("files")
			f.Pieces = append(f.Pieces, x.piece("precious.txt"))
			return f
		}, "no path of a stored file"},
		{"piece behind a symlink", func(x *target) *resize.Forged {
			x.must(os.Symlink(filepath.Dir(x.victim), x.v.Path("ddfsroot/link")))
			f := x.forge("files")
			f.Pieces = append(f.Pieces, x.piece("ddfsroot/link/precious.txt"))
			return f
		}, "not a directory"},
		{"piece is a symlink", func(x *target) *resize.Forged {
			x.must(os.Symlink(x.victim, x.v.Path("ddfsroot/link")))
			f := x.forge("files")
			f.Pieces = append(f.Pieces, x.piece("ddfsroot/link"))
			f.Pieces[0].Ino = sysIno(lstat(x.t, disk.OS(), x.v.Path("ddfsroot/link")))
			return f
		}, "not a regular file"},
		{"part above", func(x *target) *resize.Forged {
			f := x.forge("files")
			rel, err := filepath.Rel(x.v.Dir, x.victim)
			x.must(err)
			p := x.piece(rel)
			f.Part = &p
			return f
		}, "no path of a stored file"},
		{"run behind the end", func(x *target) *resize.Forged {
			f := x.forge("files")
			f.Pieces = append(f.Pieces, resize.ForgedPiece{Path: "ddfsroot/a", Ino: x.inside, Length: 16, Off: 1 << 40, Data: []byte("x")})
			return f
		}, "redo journal"},
		{"tree is a symlink", func(x *target) *resize.Forged {
			x.must(os.Rename(x.v.Path("ddfsroot"), x.v.Path("gone")))
			x.must(os.Symlink(filepath.Dir(x.victim), x.v.Path("ddfsroot")))
			return x.forge("files")
		}, "not a directory"},
		{"index over a stranger, prepare", func(x *target) *resize.Forged {
			f := x.forge("prepare")
			f.New = elsewhere(x.new, x.victim)
			return f
		}, "exists and is not"},
		{"index over a stranger, files", func(x *target) *resize.Forged {
			f := x.forge("files")
			f.New = elsewhere(x.new, x.victim)
			return f
		}, "exists and is not"},
		{"index over a stranger, switch", func(x *target) *resize.Forged {
			f := x.forge("switch")
			f.New = elsewhere(x.new, x.victim)
			data, err := os.ReadFile(x.v.IndexPath)
			x.must(errors.Join(err, os.WriteFile(x.victim+".ddfsresize", data, 0o600)))
			return f
		}, "exists and is not"},
		{"a stranger as old and new index", func(x *target) *resize.Forged {
			f := x.forge("switch")
			f.New, f.From = elsewhere(x.new, x.victim), x.victim
			data, err := os.ReadFile(x.v.IndexPath)
			x.must(errors.Join(err, os.WriteFile(x.victim+".ddfsresize", data, 0o600)))
			return f
		}, "exists and is not"},
		{"new index is a symlink", func(x *target) *resize.Forged {
			x.must(os.Symlink(x.victim, x.v.IndexPath+".ddfsresize"))
			return x.forge("prepare")
		}, "not a regular file"},
		{"list is a symlink", func(x *target) *resize.Forged {
			f := x.forge("files")
			p := x.piece("ddfsroot/a")
			f.Pieces = append(f.Pieces, p)
			f.Pieces[0].Ino = x.inside
			return f
		}, syscall.ELOOP.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTarget(t)
			f := c.make(x)
			p, err := index.Acquire(index.Location{Parent: x.v.Dir}, index.Write)
			x.must(err)
			defer p.Close()
			x.must(f.Write(p))
			if strings.HasPrefix(c.name, "list") {
				x.must(os.Remove(x.v.Path(".ddfsresize.done")))
				x.must(os.Symlink(x.victim, x.v.Path(".ddfsresize.done")))
			}
			res, err := resize.Run(t.Context(), p, resize.Options{})
			if c.want == "" && (err != nil || len(res.Left) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("have %+v, %v, want %q", res, err, c.want)
			}
			have, err := os.ReadFile(x.victim)
			info := lstat(t, disk.OS(), x.victim)
			if err != nil || string(have) != precious || info.Mode() != 0o640 || !info.ModTime().Equal(time.Unix(1e9, 0)) {
				t.Errorf("the stranger's file: have %q, %v, %v, %v", have, info.Mode(), info.ModTime(), err)
			}
		})
	}
}

// TestForeignOwner: with what another user left there, files would get attributes that only root may give.
func TestForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, name := range []string{".ddfsresize", ".ddfsresize.redo", ".ddfsresize.done"} {
		x := newTarget(t)
		p, err := index.Acquire(index.Location{Parent: x.v.Dir}, index.Write)
		x.must(err)
		defer p.Close()
		f := x.forge("files")
		f.Pieces = []resize.ForgedPiece{{Path: "ddfsroot/a", Ino: x.inside, Length: 16, Off: 16}}
		x.must(errors.Join(f.Write(p), os.Chown(x.v.Path(name), 12345, 12345)))
		if _, err := resize.Run(t.Context(), p, resize.Options{}); err == nil || !strings.Contains(err.Error(), "12345") {
			t.Errorf("%s of user 12345: have %v, want it refused", name, err)
		}
	}
}
