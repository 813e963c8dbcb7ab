package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/integration/goldenvol"
)

// Every file of sound, unclean, killed and damaged volumes comes out as its .tsv says: entries and blocks are enough.
func TestCopyOutGoldenVolumes(t *testing.T) {
	for _, name := range []string{"tiger-4k", "sha1-64k", "tiger-128k", "tiger128-4k-overflow", "sha1-4k-killed-pool", "tiger-4k-everything", "tiger-4k-addr-swapped"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := goldenvol.Unpack(t, name)
			if strings.HasPrefix(name, "tiger-4k") {
				if err := os.Remove(filepath.Join(dir, "ddfsidx")); err != nil { // not needed
					t.Fatal(err)
				}
			}
			files := 0
			for _, e := range goldenvol.Tree(t, name) {
				if e.Type != 'f' {
					continue
				}
				files++
				data, r, err := read(t, disk.OS(), dir, e.Path)
				if err != nil || sum(data) != e.Sum || r.BadBlocks > 0 {
					t.Errorf("%s: %v; have sum %s, want %s; %+v", e.Path, err, sum(data), e.Sum, r)
				}
				outside(t, dir, e)
			}
			if files == 0 {
				t.Error("no file was compared")
			}
		})
	}
}

// outside copies a file to a regular file outside, which is to be as sparse as the stored one.
func outside(t *testing.T, dir string, e goldenvol.Entry) {
	t.Helper()
	p := acquire(t, disk.OS(), dir, index.Read)
	defer p.Close()
	s, err := transfer.OpenSource(p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	name := filepath.Join(t.TempDir(), "out")
	r, err := s.Replace(context.Background(), e.Path, nil, name, transfer.FileOptions{Mode: 0o640}, transfer.OutOptions{})
	if err != nil {
		t.Errorf("%s: replace: %v", e.Path, err)
		return
	}
	data, err := os.ReadFile(name)
	if err != nil || sum(data) != e.Sum {
		t.Errorf("%s: have sum %s, %v, want %s", e.Path, sum(data), err, e.Sum)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	used := info.Sys().(*syscall.Stat_t).Blocks * 512
	if most := int64(r.Blocks-r.Zero)*int64(p.Geometry.BlockSize) + 8192; info.Mode() != 0o640 || used > most {
		t.Errorf("%s: mode %v, %d bytes on the disk, want 0640 and at most %d", e.Path, info.Mode(), used, most)
	}
}

// badVolume has a file of four blocks of which the second is bad, and a sound one.
func badVolume(t *testing.T) (v *indextest.Volume, data []byte) {
	v = indextest.New(t, indextest.Options{})
	data = append(random(1, 3*4096), random(2, 100)...)
	v.Store(map[string][]byte{"bad": data, "good": data[:4096]})
	_, entries := v.Recipe("bad")
	v.DamageBlock(entries[1].Addr)
	return v, data
}

func TestBadBlockIsNeverServed(t *testing.T) {
	v, data := badVolume(t)
	have, r, err := read(t, disk.OS(), v.Dir, "bad")
	if !errors.Is(err, format.ErrIO) || !strings.Contains(err.Error(), "at offset 4096") || !bytes.Equal(have, data[:4096]) || r.BadBlocks != 1 {
		t.Errorf("have %d bytes, %+v, %v; want what lies before the bad block, and an error with its offset", len(have), r, err)
	}
}

func TestForceListsBadRanges(t *testing.T) {
	v, data := badVolume(t)
	p := acquire(t, disk.OS(), v.Dir, index.Read)
	s, err := transfer.OpenSource(p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	name := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Replace(context.Background(), "bad", nil, name, transfer.FileOptions{Mode: 0o600}, transfer.OutOptions{}); err == nil {
		t.Error("no error without force")
	}
	if old, err := os.ReadFile(name); string(old) != "old" {
		t.Errorf("the old file is %q after a failed copy, %v", old, err)
	}
	var statuses []string
	o := transfer.OutOptions{Force: true, Block: func(b transfer.Block) { statuses = append(statuses, b.Status.String()) }}
	r, err := s.Replace(context.Background(), "bad", nil, name, transfer.FileOptions{Mode: 0o600}, o)
	if err != nil || len(r.Bad) != 1 || r.Bad[0].Offset != 4096 || r.Bad[0].Length != 4096 {
		t.Fatalf("have %+v, %v; want the second block listed", r, err)
	}
	if got := strings.Join(statuses, " "); got != "OK ERR OK OK" {
		t.Errorf("blocks: have %s", got)
	}
	clear(data[4096:8192])
	if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, data) {
		t.Errorf("content with zeros: have %d bytes, %v", len(have), err)
	}
	if list, _ := os.ReadDir(filepath.Dir(name)); len(list) != 1 {
		t.Errorf("leftovers: %v", list)
	}
}

// A block that is bad where the file looks for it is taken from where the index has it, also for a lost one.
func TestBlockIsFoundElsewhere(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	data := random(3, 2*4096)
	v.Store(map[string][]byte{"a": data})
	size, entries := v.Recipe("a")
	entries[0].Addr = format.AddressLost
	entries[1].Addr = entries[1].Addr + 20 // a block that was never written
	v.WriteRecipe("a", size, entries)
	have, r, err := read(t, disk.OS(), v.Dir, "a")
	if err != nil || !bytes.Equal(have, data) || r.Elsewhere != 2 {
		t.Errorf("have %d bytes, %+v, %v; want all, two blocks from elsewhere", len(have), r, err)
	}
}

// Sizes that ask for entries that are not there, however many, are one bad range at the end.
func TestMissingEntries(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	data := random(4, 2*4096)
	v.Store(map[string][]byte{"a": data})
	_, entries := v.Recipe("a")
	for _, size := range []uint64{3 * 4096, 300*4096 + 1, 1 << 60} {
		v.WriteRecipe("a", size, entries)
		p := acquire(t, disk.OS(), v.Dir, index.Read)
		s, err := transfer.OpenSource(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CopyOut(context.Background(), "a", nil, transfer.OutOptions{}); !errors.Is(err, format.ErrIO) {
			t.Errorf("size %d: have %v, want an I/O error", size, err)
		}
		r, err := s.CopyOut(context.Background(), "a", nil, transfer.OutOptions{Force: true})
		if err != nil || len(r.Bad) != 1 || r.Bad[0].Offset != 8192 || r.Bad[0].Length != int64(size)-8192 {
			t.Errorf("size %d: have %+v, %v", size, r, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Nothing is read or written outside of the tree of files.
func TestPathsStayInside(t *testing.T) {
	v := indextest.New(t, indextest.Options{})
	v.Store(map[string][]byte{"d/a": random(1, 100)})
	if err := os.Symlink("/etc", filepath.Join(v.Root, "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d/a", filepath.Join(v.Root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", ".", "..", "../ddfs.cfg", "d/../../ddfs.cfg", "/etc/hostname", "out/hostname", "link", ".ddumbfs/stats", "d"} {
		if _, _, err := read(t, disk.OS(), v.Dir, path); err == nil {
			t.Errorf("read %q: no error", path)
		}
		if _, err := copyIn(disk.OS(), v.Dir, path, transfer.FromReader(strings.NewReader("x"))); err == nil {
			t.Errorf("write %q: no error", path)
		}
	}
	indextest.AssertClean(t, v.Dir)
}
