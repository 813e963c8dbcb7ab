package blockhash

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"testing"

	"tresor/index/blockhash/internal/tigergen"
)

// TestTigerFilesAreGenerated regenerates the committed files: nobody typed or changed a number in them.
func TestTigerFilesAreGenerated(t *testing.T) {
	for name, source := range tigergen.Files() {
		want, err := source()
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s: have %d bytes with SHA-256 %x, want the generated %d with %x; run go generate",
				name, len(have), sha256.Sum256(have), len(want), sha256.Sum256(want))
		}
	}
}

// TestTigerReference holds the unrolled compression against the plain one of the generator, for every length around the
// places where padding needs one block or two, and for every start within a word.
func TestTigerReference(t *testing.T) {
	const seed = 1996
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 1024)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	boxes := tigergen.Generate()
	for n := range 3*tigerBlock + 2 {
		for start := range 8 {
			p := data[start : start+n]
			if have, want := tigerSum(p), referenceSum(boxes, p); have != want {
				t.Fatalf("seed %d: tiger of %d bytes from %d: have %x, want %x", seed, n, start, have, want)
			}
			q := data[500-start : 500-start+n]
			x, y := tigerSum2(p, q)
			if want := [2][24]byte{tigerSum(p), tigerSum(q)}; x != want[0] || y != want[1] {
				t.Fatalf("seed %d: tiger of two times %d bytes: have %x, %x, want %x", seed, n, x, y, want)
			}
		}
	}
}

// referenceSum is Tiger written for reading.
func referenceSum(boxes *tigergen.Boxes, p []byte) (out [24]byte) {
	padded := append(bytes.Clone(p), 0x01)
	for len(padded)%64 != 56 {
		padded = append(padded, 0)
	}
	padded = binary.LittleEndian.AppendUint64(padded, uint64(len(p))*8)
	state := tigergen.Initial
	for ; len(padded) > 0; padded = padded[64:] {
		boxes.Compress(&state, tigergen.Words(padded[:64]))
	}
	for i, w := range state {
		binary.BigEndian.PutUint64(out[8*i:], w)
	}
	return out
}

// TestTigerMegabyte is a digest over many blocks of changing content. The value is that of Debian's rhash, with the
// bytes of each word turned around.
func TestTigerMegabyte(t *testing.T) {
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(i>>12) ^ byte(7*i+3)
	}
	const want = "a4e208c02dd330cca111fe7cdbef97f27bd594748651742b"
	have := tigerSum(p)
	if hex.EncodeToString(have[:]) != want {
		t.Errorf("tiger of 1 MiB: have %x, want %s", have, want)
	}
}
