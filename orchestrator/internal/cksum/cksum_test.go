package cksum_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"tresor/orchestrator/internal/cksum"
)

func TestVectors(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint32
	}{
		{"", 4294967295},
		{"123456789", 930766865},
		{"a", 1220704766},
		{strings.Repeat("\x00", 1), 4215202376},
	} {
		if have := cksum.Sum([]byte(c.text)); have != c.want {
			t.Errorf("Sum(%q) = %d, want %d", c.text, have, c.want)
		}
	}
}

// slow is the definition, bit by bit.
func slow(p []byte) uint32 {
	var crc uint32
	feed := func(b byte) {
		crc ^= uint32(b) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04C11DB7
			} else {
				crc <<= 1
			}
		}
	}
	for _, b := range p {
		feed(b)
	}
	for n := len(p); n > 0; n >>= 8 {
		feed(byte(n))
	}
	return ^crc
}

func TestAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		if have, want := cksum.Sum(p), slow(p); have != want {
			t.Fatalf("%d bytes: have %d, want %d", n, have, want)
		}
	}
	for range 20 { // parts of any length, zeros among them
		var s cksum.State
		var all []byte
		for range 10 {
			p := make([]byte, r.IntN(9000))
			if r.IntN(3) == 0 {
				s = s.Zeros(uint64(len(p)))
			} else {
				for i := range p {
					p[i] = byte(r.Uint32())
				}
				s = s.Update(p)
			}
			all = append(all, p...)
		}
		if s.Sum() != slow(all) || s.Bytes != uint64(len(all)) {
			t.Fatalf("%d bytes in parts: have %d of %d bytes, want %d", len(all), s.Sum(), s.Bytes, slow(all))
		}
	}
}

func TestAgainstProgram(t *testing.T) {
	path, err := exec.LookPath("cksum")
	if err != nil {
		t.Skip("no program cksum (coreutils) to compare with")
	}
	for _, n := range []int{0, 1, 255, 256, 65536, 1<<20 + 3} {
		p := bytes.Repeat([]byte("tresor."), n/7+1)[:n]
		cmd := exec.Command(path)
		cmd.Stdin = bytes.NewReader(p)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Fields(string(out)); strconv.FormatUint(uint64(cksum.Sum(p)), 10) != want[0] {
			t.Errorf("%d bytes: have %d, cksum says %s", n, cksum.Sum(p), want[0])
		}
	}
}

func TestManyZeros(t *testing.T) {
	long := cksum.State{}.Zeros(3 << 40)
	parts := cksum.State{}.Zeros(1 << 40).Zeros(1<<41 - 1).Update([]byte{0})
	if long != parts {
		t.Errorf("3 TiB of zeros: %+v at once, %+v in parts", long, parts)
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			var s cksum.State
			for b.Loop() {
				s = s.Update(p)
			}
		})
	}
}
