// Package tigergen generates the substitution boxes of the Tiger hash by the algorithm that its authors published with
// it, and the Go files of package blockhash that hold them and the unrolled rounds. It owns nothing at run time; tests
// there hold the files against this package, and the rounds against the plain compression function here.
package tigergen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"go/format"
)

// Boxes are the four substitution boxes t1 to t4.
type Boxes [4][256]uint64

const (
	passes = 5
	// seed is exactly one compression block of 64 bytes.
	seed = "Tiger - A Fast New Hash Function, by Ross Anderson and Eli Biham"
)

// Initial is the chaining value that Tiger begins with.
var Initial = [3]uint64{0x0123456789ABCDEF, 0xFEDCBA9876543210, 0xF096A5B4C3B2E187}

// Words splits one compression block of 64 bytes into its little-endian words.
func Words(block []byte) (x [8]uint64) {
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(block[8*i:])
	}
	return x
}

// Generate returns the boxes. Every byte column of a box starts as the identity permutation; then, in five passes over
// all rows, each byte is swapped with the one that a byte of the running state points at. The state is the hash of the
// seed by the boxes as they are at that moment, compressed once more for every third row, so each of its three words
// serves one row.
func Generate() *Boxes {
	t := new(Boxes)
	for box := range t {
		for i := range t[box] {
			t[box][i] = uint64(i) * 0x0101010101010101
		}
	}
	x := Words([]byte(seed))
	state := Initial
	word := 2
	for range passes {
		for row := range 256 {
			for box := range t {
				if word++; word == 3 {
					word = 0
					t.Compress(&state, x)
				}
				t.permute(box, row, state[word])
			}
		}
	}
	return t
}

// permute swaps, in each byte column, the byte of row with that of the row which the same byte of w names.
func (t *Boxes) permute(box, row int, w uint64) {
	for col := range 8 {
		shift := 8 * col
		other := byte(w >> shift)
		diff := (t[box][row] ^ t[box][other]) & (0xFF << shift)
		t[box][row] ^= diff
		t[box][other] ^= diff
	}
}

// Compress is Tiger's compression function in its plainest form: it is the reference for the fast one as well.
func (t *Boxes) Compress(state *[3]uint64, x [8]uint64) {
	a, b, c := state[0], state[1], state[2]
	for pass, mul := range [3]uint64{5, 7, 9} {
		if pass > 0 {
			schedule(&x)
		}
		for _, w := range x {
			c ^= w
			a -= t[0][byte(c)] ^ t[1][byte(c>>16)] ^ t[2][byte(c>>32)] ^ t[3][byte(c>>48)]
			b += t[3][byte(c>>8)] ^ t[2][byte(c>>24)] ^ t[1][byte(c>>40)] ^ t[0][byte(c>>56)]
			b *= mul
			// Eight turns of the names are two, which is just how the next pass wants them; 24 turns are none.
			a, b, c = b, c, a
		}
	}
	state[0] ^= a
	state[1] = b - state[1]
	state[2] += c
}

// schedule is Tiger's key schedule.
func schedule(x *[8]uint64) {
	x[0] -= x[7] ^ 0xA5A5A5A5A5A5A5A5
	x[1] ^= x[0]
	x[2] += x[1]
	x[3] -= x[2] ^ (^x[1] << 19)
	x[4] ^= x[3]
	x[5] += x[4]
	x[6] -= x[5] ^ (^x[4] >> 23)
	x[7] ^= x[6]
	x[0] += x[7]
	x[1] -= x[0] ^ (^x[7] << 19)
	x[2] ^= x[1]
	x[3] += x[2]
	x[4] -= x[3] ^ (^x[2] >> 23)
	x[5] ^= x[4]
	x[6] += x[5]
	x[7] -= x[6] ^ 0x0123456789ABCDEF
}

// BoxesSource returns the Go file of package blockhash that holds the boxes, formatted.
func BoxesSource() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(header)
	for i, box := range Generate() {
		fmt.Fprintf(&b, "\n// tigerBox%d is Tiger's substitution box t%d.\nvar tigerBox%d = [256]uint64{\n", i+1, i+1, i+1)
		for n := 0; n < len(box); n += 4 {
			fmt.Fprintf(&b, "\t%#016x, %#016x, %#016x, %#016x,\n", box[n], box[n+1], box[n+2], box[n+3])
		}
		b.WriteString("}\n")
	}
	return format.Source(b.Bytes())
}

// Files returns the sources of all generated files of package blockhash by their names.
func Files() map[string]func() ([]byte, error) {
	return map[string]func() ([]byte, error){"tiger_boxes.go": BoxesSource, "tiger_rounds.go": RoundsSource}
}
