package scrub

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
)

const (
	stateVersion = "ddumbfs scrub 1"
	// maxState bounds how much of a state file is read: a full one has 4 MiB.
	maxState = 16 << 20
)

// state is what is kept between runs. It is text:
//
//	ddumbfs scrub 1
//	volume BLOCKS BLOCKSIZE HASH MADE     MADE: when ddfs.cfg was written, in nanoseconds
//	regions COUNT BLOCKS                  of so many blocks each
//	cursor ADDRESS BEGAN                  where to go on, and when the verification of that region began
//	region NUMBER TIME                    one line for each that was ever verified, ascending
//	bad ADDRESS HASH FOUND mismatch|unreadable
//	more COUNT                            bad blocks that are not listed
//	sum SHA256                            of everything above
//
// Times are seconds since 1970. Whatever else stands there, the file counts for nothing.
type state struct {
	made         int64
	regionBlocks uint64
	times        []int64 // of each region, 0: never
	cursor       format.Address
	began        int64
	bad          []BadBlock
	more         uint64
}

// newState is that of a volume of which nothing is known.
func newState(g *format.Geometry, region, made int64) *state {
	if region <= 0 {
		region = defaultRegion
	}
	blocks := max(1, uint64(region)>>g.BlockShift)
	for (g.BlockCount-1)/blocks >= maxRegions {
		blocks *= 2
	}
	return &state{made: made, regionBlocks: blocks, times: make([]int64, (g.BlockCount-1)/blocks+1)}
}

func (s *state) header(g *format.Geometry) string {
	return fmt.Sprintf("%s\nvolume %d %d %s %d\nregions %d %d\n", stateVersion, g.BlockCount, g.BlockSize, g.Kind.Name(), s.made, len(s.times), s.regionBlocks)
}

// encode writes the state as text.
func (s *state) encode(g *format.Geometry) []byte {
	var b bytes.Buffer
	b.WriteString(s.header(g))
	fmt.Fprintf(&b, "cursor %d %d\n", s.cursor, s.began)
	for i, t := range s.times {
		if t > 0 {
			fmt.Fprintf(&b, "region %d %d\n", i, t)
		}
	}
	for _, x := range s.bad {
		kind := "mismatch"
		if x.Unreadable {
			kind = "unreadable"
		}
		fmt.Fprintf(&b, "bad %d %s %d %s\n", x.Address, x.Hash, x.Found, kind)
	}
	fmt.Fprintf(&b, "more %d\n", s.more)
	fmt.Fprintf(&b, "sum %x\n", sha256.Sum256(b.Bytes()))
	return b.Bytes()
}

var errOtherState = errors.New("it is that of another volume or of another size of regions")

// decode takes the text over into s, which is new; after an error s is undefined.
func (s *state) decode(g *format.Geometry, data []byte) error {
	at := bytes.LastIndex(data, []byte("sum "))
	if at < 0 || string(data[at:]) != fmt.Sprintf("sum %x\n", sha256.Sum256(data[:at])) {
		return errors.New("its checksum does not match")
	}
	text, ok := strings.CutPrefix(string(data[:at]), s.header(g))
	if !ok {
		return errOtherState
	}
	p := parser{s: s, g: g, last: -1}
	for line := range strings.Lines(text) {
		if err := p.line(line); err != nil {
			return fmt.Errorf("line %.80q: %w", line, err)
		}
	}
	return nil
}

type parser struct {
	s    *state
	g    *format.Geometry
	last int // region before
}

// number reads what strconv would write: no sign, no leading zero, below limit.
func number(text string, limit uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != text || n >= limit {
		return 0, fmt.Errorf("want a number below %d, have %.30q", limit, text)
	}
	return n, nil
}

func (p *parser) line(line string) error {
	f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	const time = 1 << 40
	n := make([]uint64, len(f))
	for i, limit := range map[string][]uint64{
		"cursor": {0, p.g.BlockCount, time}, "region": {0, uint64(len(p.s.times)), time}, "bad": {0, p.g.BlockCount, 0, time, 0}, "more": {0, p.g.BlockCount + 1},
	}[f[0]] {
		if i >= len(f) {
			return errors.New("too short")
		}
		if limit == 0 {
			continue
		}
		var err error
		if n[i], err = number(f[i], limit); err != nil {
			return err
		}
	}
	switch {
	case f[0] == "cursor" && len(f) == 3:
		p.s.cursor, p.s.began = format.Address(n[1]), int64(n[2])
	case f[0] == "region" && len(f) == 3 && int(n[1]) > p.last:
		p.s.times[n[1]], p.last = int64(n[2]), int(n[1])
	case f[0] == "bad" && len(f) == 5 && len(p.s.bad) < maxBad && (f[4] == "mismatch" || f[4] == "unreadable"):
		if h, err := hex.DecodeString(f[2]); err != nil || len(h) != p.g.HashSize || !p.g.InRange(format.Address(n[1])) {
			return errors.New("no block with a hash")
		}
		p.s.bad = append(p.s.bad, BadBlock{Address: n[1], Hash: f[2], Found: int64(n[3]), Unreadable: f[4] == "unreadable"})
	case f[0] == "more" && len(f) == 2:
		p.s.more = n[1]
	default:
		return errors.New("not understood")
	}
	return nil
}

// load reads the state of a volume; where there is none that counts it is a new one, and note says why. An error is one of the disk.
func load(p *index.Parent, region int64) (s *state, note string, err error) {
	info, err := p.FS.Lstat(p.Path(format.ConfigName))
	if err != nil {
		return nil, "", err
	}
	made := info.ModTime().UnixNano()
	fresh := newState(p.Geometry, region, made)
	f, err := p.FS.OpenFile(p.Path(format.ScrubName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return fresh, "", nil
	case err != nil:
		return fresh, fmt.Sprintf("what earlier runs have verified cannot be read, all begins anew: %v", err), nil
	}
	defer f.Close()
	size, err := f.Size()
	if err == nil && size > maxState {
		err = fmt.Errorf("want at most %d bytes, have %d", maxState, size)
	}
	data := make([]byte, max(0, min(size, maxState)))
	if err == nil {
		err = disk.ReadFull(f, data, 0)
	}
	s = newState(p.Geometry, region, made)
	if err == nil {
		err = s.decode(p.Geometry, data)
	}
	if err != nil {
		return fresh, fmt.Sprintf("%s counts for nothing, all begins anew: %v", p.Path(format.ScrubName), err), nil
	}
	return s, "", nil
}

// save replaces the state file.
func (s *state) save(p *index.Parent) error {
	if err := disk.WriteFileAtomic(p.FS, p.Path(format.ScrubName), s.encode(p.Geometry), 0o600); err != nil {
		return fmt.Errorf("note what was verified: %w", err)
	}
	return nil
}
