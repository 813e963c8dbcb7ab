package verify_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/verify"
)

// TestAgainstImpossible: equal hashes are no content where the volume cannot have the block.
func TestAgainstImpossible(t *testing.T) {
	data := random(20, 6*bs)
	r := newRig(t, map[string][]byte{"f": data})
	size, e := r.v.Recipe("f")
	e[1].Addr, e[3].Addr, e[4].Addr = 1999999, format.Address(r.v.Geometry.BlockCount), 0
	r.v.WriteRecipe("f", size, e)
	has(t, r.against("f", data), verify.Finding{Kind: verify.Impossible, Offset: bs, Length: bs},
		verify.Finding{Kind: verify.Impossible, Offset: 3 * bs, Length: bs}, verify.Finding{Kind: verify.Impossible, Offset: 4 * bs, Length: bs})
}

// TestAgainstIndex: what the index does not have at the entry's address is read itself.
func TestAgainstIndex(t *testing.T) {
	data := random(21, 6*bs)
	r := newRig(t, map[string][]byte{"f": data})
	size, e := r.v.Recipe("f")
	known := map[blockhash.Hash]format.Address{}
	for _, x := range e {
		known[x.Hash] = x.Addr
	}
	e[2].Addr = e[5].Addr      // in range, and somebody else's
	delete(known, e[3].Hash)   // forgotten, and there
	known[e[4].Hash] = 1000    // elsewhere, and there
	r.v.DamageBlock(e[0].Addr) // what the index agrees with is not read
	r.v.WriteRecipe("f", size, e)
	out := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(out, data, 0o600))
	f, err := verify.OpenOutside(out)
	must(t, err)
	defer f.Close()
	tg := r.target("f")
	rep, err := verify.Against(t.Context(), tg, f, verify.Options{})
	must(t, err)
	if has(t, rep); rep.IndexChecked {
		t.Error("without an index: the report says that it was compared")
	}
	tg.Known = func(h *blockhash.Hash) (format.Address, bool) { a, ok := known[*h]; return a, ok }
	rep, err = verify.Against(t.Context(), tg, f, verify.Options{})
	must(t, err)
	if has(t, rep, verify.Finding{Kind: verify.Mismatch, Offset: 2 * bs, Length: bs}); !rep.IndexChecked {
		t.Error("with an index: the report does not say that it was compared")
	}
}

// afterHeader calls do when the header of a file was read for the first time.
type afterHeader struct {
	disk.FS
	name string
	do   func()
}

func (h *afterHeader) OpenFile(name string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err != nil || name != h.name {
		return f, err
	}
	return &hookedFile{f, sync.OnceFunc(h.do)}, nil
}

type hookedFile struct {
	disk.File
	do func()
}

func (f *hookedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if off == 0 {
		f.do()
	}
	return n, err
}

// TestCutMeanwhile: a file that gets shorter or longer while it is looked at, or after the last entry was read, is never good.
func TestCutMeanwhile(t *testing.T) {
	r := newRig(t, map[string][]byte{"f": random(22, 40*bs)})
	size, e := r.v.Recipe("f")
	path := filepath.Join(r.v.Root, "f")
	cut := func(n int) { must(t, os.Truncate(path, format.FileHeaderSize+int64(n*r.v.Geometry.EntrySize))) }
	for what, c := range map[string]struct {
		do      func()
		damaged bool
	}{
		"cut to nothing":         {func() { must(t, os.Truncate(path, 0)) }, false},
		"shorter":                {func() { r.v.WriteRecipe("f", 10*bs, e[:10]) }, false},
		"longer":                 {func() { r.v.WriteRecipe("f", size+1, append(slices.Clone(e), e[0])) }, false},
		"without its last entry": {func() { cut(39) }, true},
		"without any entry":      {func() { cut(0) }, true},
	} {
		for _, late := range []bool{false, true} {
			r.v.WriteRecipe("f", size, e)
			tg, looks := r.target("f"), 0
			if late {
				tg.Refresh = func() error {
					if looks++; looks == 2 {
						c.do()
					}
					return nil
				}
			} else {
				tg.FS = &afterHeader{tg.FS, tg.File, c.do}
			}
			rep, err := verify.Stored(t.Context(), tg, verify.Options{})
			if err != nil || rep.Good() || rep.Damaged() != c.damaged {
				t.Errorf("%s, late %v: have %+v, %v, want it not to be good", what, late, rep, err)
			}
		}
	}
}
