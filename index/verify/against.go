package verify

import (
	"bytes"
	"errors"
	"io"

	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
)

// sizes finds what one of the files has more.
func (j *job) sizes(stored, outside uint64) {
	switch {
	case stored > outside:
		j.add(Finding{Kind: OnlyStored, Offset: outside, Length: stored - outside})
	case outside > stored:
		j.add(Finding{Kind: OnlyOutside, Offset: stored, Length: outside - stored})
	}
}

// compare hashes the outside file where these entries are, and holes of it without reading.
func (j *job) compare(first uint64, entries []format.Entry) error {
	chunks := (len(entries) + j.chunk - 1) / j.chunk
	return j.spread(chunks, func(c int, buf []byte) error {
		from := c * j.chunk
		part := entries[from:min(from+j.chunk, len(entries))]
		at := first + uint64(from)
		p, hole, err := j.readOutside(at, len(part), buf)
		if err != nil {
			return err
		}
		for k := range part {
			block := p[k*j.g.BlockSize : (k+1)*j.g.BlockSize]
			zero := hole || blockhash.IsZero(block)
			if !j.equal(&part[k], block, zero) || !j.indexed(&part[k]) {
				j.suspect(at + uint64(k))
			}
		}
		j.meter.Add(uint64(len(part) << j.g.BlockShift))
		return nil
	})
}

// equal tells whether a block of the outside file is what the entry stands for. A lost block is not, nor is one that the volume cannot have: the
// content can be compared, and is not there.
func (j *job) equal(e *format.Entry, block []byte, zero bool) bool {
	switch {
	case zero:
		return j.g.IsZeroBlock(e)
	case !j.g.InRange(e.Addr): // zeros and lost blocks among them
		return false
	}
	return j.g.Kind.Sum(block) == e.Hash
}

// indexed tells whether the index has the entry's hash at the entry's address, as far as there is an index. What it has not may be a
// wrong address, or a copy of a block that the index has elsewhere: only the block itself tells.
func (j *job) indexed(e *format.Entry) bool {
	if j.t.Known == nil || j.g.IsZeroBlock(e) {
		return true
	}
	a, ok := j.t.Known(&e.Hash)
	return ok && a == e.Addr
}

// readOutside reads n blocks from block number at of the outside file; holes and what lies behind its end are zeros, and are not read. hole: all
// of it is zeros, and p is not to be looked at.
func (j *job) readOutside(at uint64, n int, buf []byte) (p []byte, hole bool, err error) {
	p = buf[:n<<j.g.BlockShift]
	off := int64(at) << j.g.BlockShift
	end := off + int64(len(p))
	done := 0 // bytes of p that are valid
	for off+int64(done) < end {
		from, to, err := j.nextData(off+int64(done), end)
		if err != nil {
			return p, false, err
		}
		if from >= end {
			break
		}
		clear(p[done : from-off])
		have, err := j.outside.ReadAt(p[from-off:to-off], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return p, false, err
		}
		j.read.Add(uint64(have))
		done = int(from-off) + have
		if err != nil {
			break
		}
	}
	if done == 0 {
		return p, true, nil
	}
	clear(p[done:])
	return p, false, nil
}

// nextData is the first range of [off, end) that may hold data; it begins at end where there is none.
func (j *job) nextData(off, end int64) (from, to int64, err error) {
	from, err = j.outside.NextData(off)
	if errors.Is(err, io.EOF) || err == nil && from >= end {
		return end, end, nil
	}
	if err != nil {
		return 0, 0, err
	}
	to, err = j.outside.NextHole(from)
	if errors.Is(err, io.EOF) {
		return from, end, nil
	}
	return from, min(max(to, from+1), end), err
}

// judgeOutside compares a block again, and a last one that is not whole by its data.
func (j *job) judgeOutside(i uint64, e *format.Entry, buf []byte) (Kind, string, error) {
	switch {
	case e.Addr == format.AddressLost:
		return Lost, "", nil
	case !j.g.IsZeroBlock(e) && !j.g.InRange(e.Addr):
		return Impossible, "", nil
	}
	p, hole, err := j.readOutside(i, 1, buf)
	if err != nil {
		return "", "", err
	}
	if hole {
		clear(p)
	}
	if j.equal(e, p, hole || blockhash.IsZero(p)) {
		if j.indexed(e) {
			return "", "", nil
		}
		return j.judgeStored(i, e, buf)
	}
	end := min(j.rep.Size, *j.rep.OutsideSize)
	left := end - i<<j.g.BlockShift
	if left >= uint64(j.g.BlockSize) {
		return Differs, "", nil
	}
	return j.compareData(e, append([]byte(nil), p[:left]...), buf)
}

// compareData compares the stored block itself, once it is proved, with the beginning of a block.
func (j *job) compareData(e *format.Entry, want, buf []byte) (Kind, string, error) {
	block := buf[:j.g.BlockSize]
	if j.g.IsZeroBlock(e) {
		clear(block)
	} else if kind, text, err := j.judgeStored(0, e, buf); kind != "" || err != nil {
		return kind, text, err
	}
	if bytes.Equal(block[:len(want)], want) {
		return "", "", nil
	}
	return Differs, "", nil
}

// OpenOutside opens a file to compare with: a regular file or a block device.
func OpenOutside(name string) (disk.File, error) { return disk.OS().OpenFile(name, 0, 0) }
