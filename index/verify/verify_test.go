package verify_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/recipe"
	"tresor/index/verify"
	"tresor/integration/goldenvol"
)

const bs = 4096

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(id uint64, n int) []byte {
	r := rand.New(rand.NewPCG(1, id))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

type rig struct {
	t *testing.T
	v *indextest.Volume
}

func newRig(t *testing.T, files map[string][]byte) *rig {
	t.Helper()
	r := &rig{t, indextest.New(t, indextest.Options{Blocks: 2000, Hash: "SHA1"})}
	r.v.Store(files)
	return r
}

func (r *rig) target(name string) verify.Target {
	return verify.Target{FS: r.v.FS, Geometry: r.v.Geometry, Blocks: r.v.BlocksPath, File: filepath.Join(r.v.Root, name)}
}

func (r *rig) stored(name string) *verify.Report {
	r.t.Helper()
	rep, err := verify.Stored(r.t.Context(), r.target(name), verify.Options{})
	must(r.t, err)
	return rep
}

func (r *rig) against(name string, outside []byte) *verify.Report {
	r.t.Helper()
	out := filepath.Join(r.t.TempDir(), "outside")
	must(r.t, os.WriteFile(out, outside, 0o600))
	f, err := verify.OpenOutside(out)
	must(r.t, err)
	defer f.Close()
	rep, err := verify.Against(r.t.Context(), r.target(name), f, verify.Options{})
	must(r.t, err)
	return rep
}

// has fails the test unless the report has exactly these findings, by kind, offset and length.
func has(t *testing.T, rep *verify.Report, want ...verify.Finding) {
	t.Helper()
	have := slices.Clone(rep.Findings)
	for i := range have {
		have[i].Text, have[i].Address = "", 0
	}
	if !slices.Equal(have, want) || rep.More != 0 || rep.Changing != 0 {
		t.Errorf("have findings %+v (%d more, %d changing), want %+v", have, rep.More, rep.Changing, want)
	}
}

// TestGolden: every file of the sound volumes is good.
func TestGolden(t *testing.T) {
	for _, name := range []string{"tiger-4k", "sha1-64k", "tiger128-4k-overflow"} {
		v := indextest.Describe(t, disk.OS(), goldenvol.Unpack(t, name))
		r := &rig{t, v}
		for _, path := range v.Files() {
			rep := r.stored(path)
			if has(t, rep); !rep.Good() {
				t.Errorf("%s: %s is not good", name, path)
			}
			data, err := v.ReadFile(path)
			must(t, err)
			rep = r.against(path, data)
			if has(t, rep); !rep.Good() {
				t.Errorf("%s: %s differs from its own content", name, path)
			}
		}
	}
}

// TestStored finds each kind of damage, at its place, and reads a block once however often the file has it.
func TestStored(t *testing.T) {
	data := random(1, 100*bs+77)
	for i := range 10 {
		clear(data[(20+i)*bs : (21+i)*bs])               // zeros
		copy(data[(40+i)*bs:(41+i)*bs], data[2*bs:3*bs]) // eleven times the same
	}
	r := newRig(t, map[string][]byte{"f": data, "empty": nil})
	rep := r.stored("f")
	has(t, rep)
	if rep.Size != uint64(len(data)) || rep.Entries != 101 || rep.Zero != 10 || rep.Read != 81*bs {
		t.Errorf("have %+v, want 101 entries, 10 of zeros, 81 blocks read", rep)
	}
	has(t, r.stored("empty"))
	size, e := r.v.Recipe("f")
	r.v.DamageBlock(e[2].Addr)
	e[5].Addr = format.AddressLost
	e[6].Addr = format.AddressLost
	e[7].Addr = 1999999
	e[8].Addr = 0
	e[9].Addr = e[10].Addr // somebody else's block
	r.v.WriteRecipe("f", size, e)
	r.v.CutBlocks(uint64(e[100].Addr))
	want := []verify.Finding{{Kind: verify.Mismatch, Offset: 2 * bs, Length: bs}, {Kind: verify.Lost, Offset: 5 * bs, Length: 2 * bs},
		{Kind: verify.Impossible, Offset: 7 * bs, Length: bs}, {Kind: verify.Impossible, Offset: 8 * bs, Length: bs}, {Kind: verify.Mismatch, Offset: 9 * bs, Length: bs}}
	for i := range uint64(10) {
		want = append(want, verify.Finding{Kind: verify.Mismatch, Offset: (40 + i) * bs, Length: bs})
	}
	want = append(want, verify.Finding{Kind: verify.Unreadable, Offset: 100 * bs, Length: 77})
	has(t, r.stored("f"), want...)
	r.v.WriteRecipe("g", size, e[:3])
	has(t, r.stored("g"), verify.Finding{Kind: verify.Mismatch, Offset: 2 * bs, Length: bs}, verify.Finding{Kind: verify.Missing, Offset: 3 * bs, Length: size - 3*bs})
	r.v.BlankHeader("f")
	if _, err := verify.Stored(t.Context(), r.target("f"), verify.Options{}); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("a file without a header: have %v", err)
	}
}

// TestAgainst compares with outside files that are the same, differ, or have another size.
func TestAgainst(t *testing.T) {
	data := random(2, 300*bs+1000)
	clear(data[10*bs : 200*bs])
	r := newRig(t, map[string][]byte{"f": data})
	rep := r.against("f", data)
	if has(t, rep); !rep.Good() || rep.Entries != 301 {
		t.Errorf("the same: have %+v", rep)
	}
	sparse := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(sparse)
	must(t, err)
	_, err = f.Write(data[:10*bs])
	must(t, err)
	_, err = f.WriteAt(data[200*bs:], 200*bs)
	must(t, errors.Join(err, f.Sync(), f.Close()))
	out, err := verify.OpenOutside(sparse)
	must(t, err)
	rep, err = verify.Against(t.Context(), r.target("f"), out, verify.Options{})
	must(t, errors.Join(err, out.Close()))
	if has(t, rep); rep.Read > 200*bs || rep.Read < 110*bs {
		t.Errorf("a sparse file: have %d bytes read of %d", rep.Read, len(data))
	}
	other := bytes.Clone(data)
	other[5*bs+9] ^= 1
	other[6*bs] ^= 1
	other[100*bs] = 1
	other[300*bs+999] ^= 1
	has(t, r.against("f", other), verify.Finding{Kind: verify.Differs, Offset: 5 * bs, Length: 2 * bs}, verify.Finding{Kind: verify.Differs, Offset: 100 * bs, Length: bs},
		verify.Finding{Kind: verify.Differs, Offset: 300 * bs, Length: 1000})
	has(t, r.against("f", data[:250*bs+5]), verify.Finding{Kind: verify.OnlyStored, Offset: 250*bs + 5, Length: 50*bs + 995})
	has(t, r.against("f", append(bytes.Clone(data), 1, 2)), verify.Finding{Kind: verify.OnlyOutside, Offset: uint64(len(data)), Length: 2})
	has(t, r.against("f", nil), verify.Finding{Kind: verify.OnlyStored, Offset: 0, Length: uint64(len(data))})
	if rep := r.against("f", data); rep.Read > uint64(len(data))+bs {
		t.Errorf("have %d bytes read, want the outside file only", rep.Read)
	}
}

// TestUndefinedEnd: what an old volume has behind the end of a file does not count, but what is before it does.
func TestUndefinedEnd(t *testing.T) {
	r := newRig(t, map[string][]byte{"f": random(3, 3*bs)})
	_, e := r.v.Recipe("f")
	data, err := r.v.ReadFile("f")
	must(t, err)
	r.v.WriteRecipe("f", 2*bs+100, e) // 3996 bytes of the last block are undefined
	data = data[:2*bs+100]
	has(t, r.against("f", data))
	data[2*bs+99] ^= 1
	has(t, r.against("f", data), verify.Finding{Kind: verify.Differs, Offset: 2 * bs, Length: 100})
	data[2*bs+99] ^= 1
	r.v.DamageBlock(e[2].Addr) // in the undefined part: what the block holds cannot be proved any more
	has(t, r.against("f", data), verify.Finding{Kind: verify.Mismatch, Offset: 2 * bs, Length: 100})
	e[1].Addr = format.AddressLost
	r.v.WriteRecipe("f", 2*bs, e[:2])
	has(t, r.against("f", data[:2*bs]), verify.Finding{Kind: verify.Lost, Offset: bs, Length: bs})
}

// TestChanging: an entry that is another one at the second look is not accused, nor is a file that is gone.
func TestChanging(t *testing.T) {
	r := newRig(t, map[string][]byte{"f": random(4, 50*bs), "other": random(5, bs)})
	size, e := r.v.Recipe("f")
	good := slices.Clone(e)
	r.v.DamageBlock(e[9].Addr)
	_, other := r.v.Recipe("other")
	tg := r.target("f")
	looks := 0
	tg.Refresh = func() error {
		if looks++; looks == 2 { // the first is before all
			e[9] = other[0]
			r.v.WriteRecipe("f", size, e)
		}
		return nil
	}
	rep, err := verify.Stored(t.Context(), tg, verify.Options{})
	must(t, err)
	if has(t, rep); looks < 2 {
		t.Errorf("have %d looks, want two", looks)
	}
	tg.Refresh = func() error { // never the same, never right
		r.v.WriteRecipe("f", size, good)
		h := good[9].Hash
		h[3]++
		good[9].Hash = h
		return nil
	}
	if rep, err = verify.Stored(t.Context(), tg, verify.Options{}); err != nil || rep.Changing != 1 || rep.Good() || rep.Damaged() {
		t.Errorf("a file that always changes: have %+v, %v, want one entry of which nothing is known", rep, err)
	}
	for what, do := range map[string]func(){"removed": func() { must(t, r.v.FS.Remove(tg.File)) }, "replaced": func() {
		must(t, os.WriteFile(tg.File+".new", nil, 0o600))
		must(t, os.Rename(tg.File+".new", tg.File))
	}} {
		r.v.WriteRecipe("f", size, good)
		looks = 0
		tg.Refresh = func() error {
			if looks++; looks == 2 {
				do()
			}
			return nil
		}
		if rep, err := verify.Stored(t.Context(), tg, verify.Options{}); err == nil || !strings.Contains(err.Error(), what) || rep.Damaged() {
			t.Errorf("a file that is %s meanwhile: have %v, %+v, want an error and no finding", what, err, rep)
		}
	}
	tg.Refresh = func() error { return unix.ENOTCONN }
	if _, err := verify.Stored(t.Context(), tg, verify.Options{}); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("a mount that is gone: have %v", err)
	}
}

// TestAnyEntries: whatever stands in an underlying file, the answer is findings.
func TestAnyEntries(t *testing.T) {
	r := newRig(t, map[string][]byte{"f": random(6, 10*bs)})
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 50 {
		n := rnd.IntN(2000)
		raw := make([]byte, n)
		for i := range raw {
			raw[i] = byte(rnd.Uint32())
		}
		f, err := os.Create(filepath.Join(r.v.Root, "x"))
		must(t, err)
		d := disk.FromFD(mustDup(t, f), "x")
		must(t, recipe.New(d, r.v.Geometry).WriteHeader(rnd.Uint64()>>uint(1+rnd.IntN(60))))
		_, err = f.WriteAt(raw, format.FileHeaderSize)
		must(t, errors.Join(err, f.Close(), d.Close()))
		if rep := r.stored("x"); rep.Good() && n >= r.v.Geometry.EntrySize && rep.Entries > 0 {
			t.Errorf("%d random bytes: have %+v, want findings", n, rep)
		}
	}
}

func mustDup(t *testing.T, f *os.File) int {
	t.Helper()
	fd, err := unix.Dup(int(f.Fd()))
	must(t, err)
	return fd
}
