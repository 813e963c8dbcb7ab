package pack

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"

	"golang.org/x/sys/unix"

	"tresor/index/bitmap"
	"tresor/index/disk"
	"tresor/index/format"
)

// planMagic begins the plan's file; the number is the version of its form.
const planMagic = "TRESORPACK 1\n"

// phase is how far a pack came.
type phase uint8

const (
	// copying: free blocks below U may hold copies; nothing names them.
	copying phase = 1
	// copied: the copies are on the disk and proved. Files and index may name either place.
	copied phase = 2
)

// plan is what is in .ddfspack, all numbers big-endian:
//
//	magic, phase (1 byte), id (16), block size (4), block count (8), limit (8),
//	length (2) and path of the index, length (2) and path of the block file,
//	the used-block bitmap before the pack, SHA-256 of all before
type plan struct {
	phase phase
	// id is random. .rebuildfsck has it too: a plan that it does not name was left over, and the volume has changed since.
	id        [16]byte
	blockSize uint32
	limit     uint64 // moves of this round; counts in phase copied only
	index     string
	blocks    string
	used      *bitmap.Bitmap
}

func newPlan(j *job) (*plan, error) {
	pl := &plan{phase: copying, blockSize: uint32(j.p.Geometry.BlockSize), limit: j.moves.limit,
		index: j.p.IndexPath, blocks: j.p.BlocksPath, used: j.moves.used}
	if _, err := rand.Read(pl.id[:]); err != nil {
		return nil, err
	}
	return pl, nil
}

// claim is the text of .rebuildfsck.
func (pl *plan) claim() string { return fmt.Sprintf("tresor pack %x\n", pl.id) }

func (pl *plan) marshal() []byte {
	b := append([]byte(planMagic), byte(pl.phase))
	b = append(b, pl.id[:]...)
	b = binary.BigEndian.AppendUint32(b, pl.blockSize)
	b = binary.BigEndian.AppendUint64(b, pl.used.Len())
	b = binary.BigEndian.AppendUint64(b, pl.limit)
	for _, s := range []string{pl.index, pl.blocks} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	b = append(b, pl.used.Bytes()...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// parsePlan takes any bytes. blockCount and blockSize are those of the volume.
func parsePlan(name string, data []byte, blockCount uint64, blockSize int) (*plan, error) {
	corrupt := func(what, want, have string) error {
		return &format.CorruptError{File: name, What: "plan of the pack: " + what, Want: want, Have: have}
	}
	body := len(data) - sha256.Size
	if body < len(planMagic) || !bytes.HasPrefix(data, []byte(planMagic)) {
		return nil, corrupt("magic", fmt.Sprintf("%q", planMagic), fmt.Sprintf("%q", data[:min(len(data), len(planMagic))]))
	}
	if sum := sha256.Sum256(data[:body]); !bytes.Equal(sum[:], data[body:]) {
		return nil, corrupt("checksum", fmt.Sprintf("%x", sum), fmt.Sprintf("%x", data[body:]))
	}
	r := fields{b: data[len(planMagic):body]}
	pl := &plan{}
	pl.phase = phase(r.number(1))
	copy(pl.id[:], r.take(len(pl.id)))
	pl.blockSize = uint32(r.number(4))
	count := r.number(8)
	pl.limit = r.number(8)
	pl.index = string(r.take(int(r.number(2))))
	pl.blocks = string(r.take(int(r.number(2))))
	switch {
	case r.short:
		return nil, corrupt("length", "more", fmt.Sprint(len(data)))
	case pl.phase != copying && pl.phase != copied:
		return nil, corrupt("phase", "1 or 2", fmt.Sprint(pl.phase))
	case count != blockCount || int(pl.blockSize) != blockSize:
		return nil, corrupt("volume", fmt.Sprintf("%d blocks of %d bytes", blockCount, blockSize), fmt.Sprintf("%d of %d", count, pl.blockSize))
	case uint64(len(r.b)) != (count+7)/8:
		return nil, corrupt("bitmap", fmt.Sprintf("%d bytes", (count+7)/8), fmt.Sprint(len(r.b)))
	}
	used, err := bitmap.FromBytes(count, bytes.Clone(r.b))
	if err != nil {
		return nil, corrupt("bitmap", "", err.Error())
	}
	if !used.Get(uint64(format.AddressZero)) || !used.Get(uint64(format.AddressLost)) {
		return nil, corrupt("bitmap", "the reserved blocks in use", "free")
	}
	pl.used = used
	return pl, nil
}

// fields takes numbers and bytes from the front of b.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if n > len(f.b) {
		f.short = true
		return make([]byte, n)
	}
	p := f.b[:n]
	f.b = f.b[n:]
	return p
}

func (f *fields) number(n int) (v uint64) {
	for _, b := range f.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// loadPlan reads the plan of a volume; nil without an error where there is none.
func (j *job) loadPlan() (*plan, error) {
	g := j.p.Geometry
	const rest = 4 << 10 // everything but paths and bitmap, roughly
	limit := int64((g.BlockCount+7)/8) + 2*(1<<16) + rest
	name := j.p.Path(format.PackName)
	data, err := disk.ReadSmall(j.p.FS, name, unix.O_NOFOLLOW, limit)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil, nil
	case errors.Is(err, disk.ErrTooLong):
		err = format.Mark(format.ErrCorrupt, err)
	}
	if err != nil {
		return nil, err
	}
	return parsePlan(name, data, g.BlockCount, g.BlockSize)
}

// writePlan puts the plan on the disk as it is now.
func (j *job) writePlan() error {
	if err := disk.WriteFileAtomic(j.p.FS, j.p.Path(format.PackName), j.plan.marshal(), 0o600); err != nil {
		return fmt.Errorf("write down what moves: %w", err)
	}
	return nil
}
