package powercut

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// word is the unit of all writes here, in bytes. Each one names the file (16 bits), the write (16) and its place (32), so that it can be judged alone.
const word = 8

// blockSize of the volume, in bytes.
const blockSize = 16 << 10

// chunk is one write: n words from the word numbered from on. sync tells whether fsync follows it.
type chunk struct {
	from, n int
	sync    bool
}

// script is all that is ever written to a file; it follows from the number alone, so that guest and judge need not tell each other.
func script(id int) []chunk {
	rnd := rand.New(rand.NewPCG(uint64(family(id)), 77))
	var list []chunk
	size := 0
	for range 2 + rnd.IntN(10) {
		c := chunk{from: size, n: 1 + rnd.IntN(100<<10/word), sync: rnd.IntN(3) == 0}
		if size > 0 && rnd.IntN(3) == 0 {
			c.from, c.n = rnd.IntN(size), 1+rnd.IntN(20<<10/word)
		}
		size = max(size, c.from+c.n)
		list = append(list, c)
	}
	return list
}

// family is the number that the content carries: every second pair of files has the same, so that they share blocks.
func family(id int) int {
	if id%4 == 1 {
		return id - 1
	}
	return id
}

func stamp(id, write, place int) uint64 {
	return uint64(family(id)&0xFFFF)<<48 | uint64(write+1)<<32 | uint64(place)
}

func (c chunk) bytes(id, write int) []byte {
	p := make([]byte, c.n*word)
	for i := range c.n {
		binary.LittleEndian.PutUint64(p[i*word:], stamp(id, write, c.from+i))
	}
	return p
}

// promise is what the guest said of a file before the power went.
type promise struct {
	synced int  // so many writes are on disk
	maybe  bool // it may have been removed
}

// promises reads what the guest said: "S file writes" after an fsync, "R file" well before a removal.
func promises(text string) map[int]promise {
	all := map[int]promise{}
	for line := range strings.Lines(text) {
		var id, n int
		if k, _ := fmt.Sscanf(line, "S %d %d", &id, &n); k == 2 {
			p := all[id]
			p.synced = max(p.synced, n)
			all[id] = p
		}
		if k, _ := fmt.Sscanf(line, "R %d", &id); k == 1 && strings.HasPrefix(line, "R ") {
			p := all[id]
			p.maybe = true
			all[id] = p
		}
	}
	return all
}

// fileName is the path of a file below the directory dir.
func fileName(dir string, id int) string { return filepath.Join(dir, fmt.Sprintf("f%d", id)) }

// verdict counts what the judge saw.
type verdict struct {
	files, synced, missing, lost int // lost: blocks that were not synced and are an I/O error
	wrong                        []string
}

func (v *verdict) fault(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// judge compares the files of a directory with what was promised of them.
func judge(dir string, promised map[int]promise) *verdict {
	v := &verdict{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		v.fault("read directory: %v", err)
	}
	there := map[int]bool{}
	for _, e := range entries {
		var id int
		if n, _ := fmt.Sscanf(e.Name(), "f%d", &id); n == 1 {
			there[id] = true
			v.files++
			v.file(fileName(dir, id), id, promised[id].synced)
		}
	}
	for id, p := range promised {
		switch {
		case p.synced > 0 && there[id]:
			v.synced++
		case p.synced > 0 && !p.maybe:
			v.fault("file %d: %d writes were synced, and it is gone", id, p.synced)
		case !there[id]:
			v.missing++
		}
	}
	return v
}

// file judges one file of which so many writes were synced.
func (v *verdict) file(name string, id, synced int) {
	list := script(id)
	must, touched := layout(list, synced)
	f, err := os.Open(name)
	if err != nil {
		v.fault("file %d: %v", id, err)
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() < int64(len(must)*word) {
		v.fault("file %d: size %d, %v; %d bytes were synced", id, st.Size(), err, len(must)*word)
		return
	}
	p := make([]byte, blockSize)
	for at := int64(0); at < st.Size(); at += blockSize {
		n, err := f.ReadAt(p[:min(blockSize, st.Size()-at)], at)
		if first := int(at) / word; err != nil && n == 0 {
			if first < len(must) && !touched[first/(blockSize/word)] {
				v.fault("file %d: block at %d was synced: %v", id, at, err)
			}
			v.lost++
			continue
		}
		for i := 0; i+word <= n; i += word {
			place := (int(at) + i) / word
			least := 0
			if place < len(must) {
				least = must[place]
			}
			if have := binary.LittleEndian.Uint64(p[i:]); !fits(list, id, place, least, have) {
				v.fault("file %d: word %d is %#x, synced was write %d", id, place, have, least)
				break
			}
		}
	}
}

// layout is the write (from 1 on) that each word had when so many writes were synced, and which blocks later writes may have touched.
func layout(list []chunk, synced int) (must []int, touched map[int]bool) {
	touched = map[int]bool{}
	for w, c := range list {
		if w >= synced {
			for b := c.from / (blockSize / word); b <= (c.from+c.n-1)/(blockSize/word); b++ {
				touched[b] = true
			}
			continue
		}
		for len(must) < c.from+c.n {
			must = append(must, 0)
		}
		for i := c.from; i < c.from+c.n; i++ {
			must[i] = w + 1
		}
	}
	return must, touched
}

// fits tells whether a word may be what it is: one that was written there, and no older than what was synced.
func fits(list []chunk, id, place, least int, have uint64) bool {
	if have == 0 {
		return least == 0
	}
	w := int(have >> 32 & 0xFFFF)
	if w < max(least, 1) || w > len(list) || have != stamp(id, w-1, place) {
		return false
	}
	return place >= list[w-1].from && place < list[w-1].from+list[w-1].n
}
