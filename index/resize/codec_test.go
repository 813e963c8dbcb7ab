package resize

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"tresor/index/format"
)

// TestBatchCodec reads back what was written, and refuses it with any byte changed, and cut at any length.
func TestBatchCodec(t *testing.T) {
	pieces := []piece{
		{path: "ddfsroot/a\xff", ino: 1 << 40, kept: []byte{1, 2}, length: 1000, next: 7, last: true, runs: []run{{off: 16, data: []byte("abc")}, {off: 99, hole: 9000}}},
		{path: "ddfsroot/b", ino: 2, length: 16 + 25, runs: []run{}},
	}
	text := encodeBatch(9, pieces)
	number, have, err := decodeBatch("redo", text)
	if err != nil || number != 9 || len(have) != 2 || !reflect.DeepEqual(have[0].runs[0], pieces[0].runs[0]) || have[0].path != pieces[0].path ||
		have[0].runs[1].hole != 9000 || !have[0].last || have[1].last || have[0].ino != pieces[0].ino || have[0].length != 1000 || have[0].next != 7 {
		t.Errorf("have batch %d, %+v, %v, want %+v", number, have, err, pieces)
	}
	for i := range text {
		bad := append([]byte(nil), text...)
		bad[i] ^= 0x10
		if _, _, err := decodeBatch("redo", bad); !errors.Is(err, format.ErrCorrupt) {
			t.Fatalf("byte %d changed: have %v, want %v", i, err, format.ErrCorrupt)
		}
		if _, _, err := decodeBatch("redo", text[:i]); !errors.Is(err, format.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: have %v, want %v", i, err, format.ErrCorrupt)
		}
	}
}

// TestStateCodec is the same for .ddfsresize, with names of any bytes.
func TestStateCodec(t *testing.T) {
	s := state{phase: converting, old: "a: b\nc: d\n", new: "sum: x\nphase: y\n", from: "/x\n\xff\"", place: onDevice}
	text := string(s.encode())
	if have, err := decodeState("state", text); err != nil || *have != s {
		t.Errorf("have %+v, %v, want %+v", have, err, s)
	}
	for i := range text {
		bad := []byte(text)
		bad[i] ^= 1
		if _, err := decodeState("state", string(bad)); !errors.Is(err, format.ErrCorrupt) {
			t.Fatalf("byte %d changed: have %v, want %v", i, err, format.ErrCorrupt)
		}
		if _, err := decodeState("state", text[:i]); !errors.Is(err, format.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: have %v, want %v", i, err, format.ErrCorrupt)
		}
	}
}

// TestInodeSet holds the set against a map.
func TestInodeSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var s inodeSet
	want := map[uint64]bool{}
	for range 5000 {
		n := rnd.Uint64() >> (rnd.Uint32() % 64)
		if rnd.IntN(2) == 0 {
			s.add(n)
			want[n] = true
		}
		if s.has(n) != want[n] || s.has(n+1) != want[n+1] || s.has(n^4096) != want[n^4096] {
			t.Fatalf("inode %d: have %v, want %v", n, s.has(n), want[n])
		}
	}
}
