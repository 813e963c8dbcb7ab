package blockhash_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"tresor/index/blockhash"
)

// pattern returns n bytes, byte i being (7*i+3) mod 256, as the format page's check vector wants them.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(7*i + 3)
	}
	return p
}

func lookup(t testing.TB, name string) blockhash.Kind {
	t.Helper()
	k, err := blockhash.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestVectors holds every kind against published digests: section 3 of the format page, FIPS 180 and the vectors of the
// BLAKE3 authors (input byte i is i mod 251).
func TestVectors(t *testing.T) {
	mod251 := make([]byte, 102400)
	for i := range mod251 {
		mod251[i] = byte(i % 251)
	}
	tests := []struct {
		kind, name string
		input      []byte
		want       string
	}{
		{"TIGER", "empty", nil, "24f0130c63ac933216166e76b1bb925ff373de2d49584e7a"},
		{"TIGER", "abc", []byte("abc"), "f258c1e88414ab2a527ab541ffc5b8bf935f7b951c132951"},
		{"TIGER", "Tiger", []byte("Tiger"), "9f00f599072300dd276abb38c8eb6dec37790c116f9d2bdf"},
		{"TIGER", "4096 zeros", make([]byte, 4096), "c50b60fa710aa94f3e5615b4d4a194e3cdfacf95e0253b6a"},
		{"TIGER", "65536 zeros", make([]byte, 65536), "f4bb1d4eef0d32c309555c669cf8c3282889ab62bbcfc433"},
		{"TIGER", "131072 zeros", make([]byte, 131072), "a9ca99c3f44c87e44c8b04ff8723d6055f4e8f9e29d80202"},
		{"TIGER", "4096 pattern", pattern(4096), "a165a5de5d011eedf3aab7ecf5fbfed9c9e9e1ec40178430"},
		{"TIGER192", "abc", []byte("abc"), "f258c1e88414ab2a527ab541ffc5b8bf935f7b951c132951"},
		{"TIGER160", "abc", []byte("abc"), "f258c1e88414ab2a527ab541ffc5b8bf935f7b95"},
		{"TIGER128", "abc", []byte("abc"), "f258c1e88414ab2a527ab541ffc5b8bf"},
		{"SHA1", "abc", []byte("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{"SHA1", "4096 zeros", make([]byte, 4096), "1ceaf73df40e531df3bfb26b4fb7cd95fb7bff1d"},
		{"SHA1", "131072 zeros", make([]byte, 131072), "67dfd19f3eb3649d6f3f6631e44d0bd36b8d8d19"},
		{"BLAKE3", "empty", nil, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7"},
		{"BLAKE3-256", "empty", nil, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
		{"BLAKE3-256", "abc", []byte("abc"), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"},
		{"BLAKE3-256", "16384 bytes", mod251[:16384], "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4"},
		{"BLAKE3-256", "102400 bytes", mod251, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
	}
	for _, tc := range tests {
		t.Run(tc.kind+"/"+tc.name, func(t *testing.T) {
			k := lookup(t, tc.kind)
			h := k.Sum(tc.input)
			if have := hex.EncodeToString(h[:k.Size()]); have != tc.want {
				t.Errorf("%s of %s: have %s, want %s", tc.kind, tc.name, have, tc.want)
			}
			for i := k.Size(); i < len(h); i++ {
				if h[i] != 0 {
					t.Errorf("%s of %s: byte %d past the digest: have %#x, want 0", tc.kind, tc.name, i, h[i])
				}
			}
		})
	}
}

func TestKinds(t *testing.T) {
	want := map[string]int{"TIGER": 24, "TIGER160": 20, "TIGER128": 16, "SHA1": 20, "BLAKE3": 24, "BLAKE3-256": 32}
	if have := blockhash.Names(); len(have) != len(want) {
		t.Errorf("names: have %v, want the %d of %v", have, len(want), want)
	}
	seen := map[blockhash.Kind]bool{}
	for _, name := range blockhash.Names() {
		k := lookup(t, name)
		if k.Name() != name || k.Size() != want[name] || seen[k] {
			t.Errorf("kind %s: have name %s, size %d, seen before %v; want size %d", name, k.Name(), k.Size(), seen[k], want[name])
		}
		seen[k] = true
	}
	if lookup(t, "TIGER192") != lookup(t, "TIGER") {
		t.Error("TIGER192: have another kind than TIGER, want the same")
	}
	if have := blockhash.Default().Name(); have != "BLAKE3" {
		t.Errorf("default kind: have %s, want BLAKE3", have)
	}
	if k := (blockhash.Kind{}); k.Name() != "" || k.Size() != 0 {
		t.Errorf("zero kind: have name %q, size %d, want none", k.Name(), k.Size())
	}
}

func TestLookupUnknown(t *testing.T) {
	for _, name := range []string{"", "tiger", "TIGER ", "SHA256", "BLAKE3-512", "blake3"} {
		k, err := blockhash.Lookup(name)
		if !errors.Is(err, blockhash.ErrUnknown) || k != (blockhash.Kind{}) {
			t.Errorf("look up %q: have %v, %v; want the zero kind and ErrUnknown", name, k, err)
		} else if !strings.Contains(err.Error(), "BLAKE3-256") {
			t.Errorf("look up %q: have %v, want the known names in it", name, err)
		}
	}
}

func TestSumOfZeroKindPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("sum of the zero kind: have a hash, want a panic")
		}
	}()
	blockhash.Kind{}.Sum([]byte("x"))
}

// TestSumPair holds the hashes of pairs against single ones, of equal and of different lengths.
func TestSumPair(t *testing.T) {
	for _, name := range blockhash.Names() {
		for _, n := range [][2]int{{0, 0}, {64, 64}, {4096, 4096}, {4096, 4000}, {1, 131072}, {512, 512}} {
			k, x, y := lookup(t, name), pattern(n[0]), pattern(n[1] + 1)[1:]
			g, h := k.SumPair(x, y)
			if g != k.Sum(x) || h != k.Sum(y) {
				t.Errorf("%s of blocks of %d bytes: have %x, %x, want %x, %x", name, n, g, h, k.Sum(x), k.Sum(y))
			}
		}
	}
}

// TestNoAllocation keeps the write path free of garbage: one allocation per block would be one per 128 KiB.
func TestNoAllocation(t *testing.T) {
	for _, name := range blockhash.Names() {
		for _, size := range []int{512, 4096, 131072} {
			k, block := lookup(t, name), pattern(size)
			var sink blockhash.Hash
			if n := testing.AllocsPerRun(5, func() {
				sink = k.Sum(block)
				_, sink = k.SumPair(block, block)
			}); n != 0 {
				t.Errorf("%s of %d bytes: have %v allocations, want none (sum %x)", name, size, n, sink)
			}
		}
	}
}
