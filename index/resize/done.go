package resize

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tresor/index/disk"
	"tresor/index/format"
)

// doneList is .ddfsresize.done: for each batch that is durable in the files, which files it completed and how far the last one came.
// A record is its length in four bytes, the content, and the SHA-256 of that; one that is cut off was not finished and does not count.
type doneList struct {
	f       disk.File
	end     int64  // behind the last whole record
	last    []byte // content of the last one that was loaded
	batches uint64 // recorded
	inodes  inodeSet
	part    *piece // the file in the middle of its conversion, without its runs; nil where there is none
}

// createDone makes an empty list, durably, and removes a journal that an earlier resize may have left: neither may be taken for ours.
func (r *resizer) createDone() error {
	if err := r.remove(redoName, doneName); err != nil {
		return err
	}
	f, err := r.p.FS.OpenFile(r.p.Path(doneName), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.SyncAll(), f.Close()); err != nil {
		return err
	}
	return r.p.FS.SyncDir(r.p.Dir)
}

// openDone reads the list. It must be there: without it nobody knows which files have been converted.
func (r *resizer) openDone() (*doneList, error) {
	if err := r.ours(doneName); err != nil {
		return nil, err
	}
	f, err := r.p.FS.OpenFile(r.p.Path(doneName), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("list of the files that are done: %w", err)
	}
	d := &doneList{f: f}
	err = d.load()
	if err == nil {
		err = d.keep()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

func (d *doneList) load() error {
	size, err := d.f.Size()
	if err != nil {
		return err
	}
	for {
		content, err := d.record(size)
		if err != nil || content == nil {
			return err
		}
		if !d.take(content) {
			return &format.CorruptError{File: d.f.Name(), Offset: d.end, What: "list of files that are done",
				Want: fmt.Sprintf("the record of batch %d", d.batches+1), Have: "something else with a valid checksum"}
		}
		d.end += recordOverhead + int64(len(content))
		d.last = content
	}
}

// keep makes the last record durable: whoever wrote it may have been killed before the sync, or the sync may have failed. Then it is in memory
// only, and the next batch takes the place of its journal.
func (d *doneList) keep() error {
	if d.last == nil {
		return nil
	}
	if err := disk.WriteFull(d.f, sealRecord(d.last), d.end-recordOverhead-int64(len(d.last))); err != nil {
		return err
	}
	return d.f.SyncAll()
}

// recordOverhead is what a record has beside its content, in bytes.
const recordOverhead = 4 + sha256.Size

// record reads the record at end, nil where there is no whole one.
func (d *doneList) record(size int64) ([]byte, error) {
	if size-d.end < recordOverhead {
		return nil, nil
	}
	head := make([]byte, 4)
	if err := disk.ReadFull(d.f, head, d.end); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head))
	if n > size-d.end-recordOverhead || n > maxJournal {
		return nil, nil
	}
	b := make([]byte, n+sha256.Size)
	if err := disk.ReadFull(d.f, b, d.end+4); err != nil {
		return nil, err
	}
	if sha256.Sum256(b[:n]) != [sha256.Size]byte(b[n:]) {
		return nil, nil
	}
	return b[:n], nil
}

// take enters a record into memory.
func (d *doneList) take(content []byte) bool {
	c := cursor{b: content}
	if c.number() != d.batches+1 {
		return false
	}
	for range c.count(1) {
		d.inodes.add(c.number())
	}
	d.part = nil
	if c.number() == 1 {
		d.part = &piece{path: string(c.bytes()), ino: c.number(), kept: c.bytes(), length: int64(c.number()), next: c.number()}
	}
	d.batches++
	return !c.bad && len(c.b) == 0
}

// append records a batch, durably. The files must be durable before. There may be no pieces: all of its files are gone.
func (d *doneList) append(pieces []piece) error {
	var inodes []uint64
	for i := range pieces {
		if pieces[i].last {
			inodes = append(inodes, pieces[i].ino)
		}
	}
	b := binary.AppendUvarint(nil, d.batches+1)
	b = binary.AppendUvarint(b, uint64(len(inodes)))
	for _, ino := range inodes {
		b = binary.AppendUvarint(b, ino)
	}
	p := &piece{last: true}
	if len(pieces) > 0 {
		p = &pieces[len(pieces)-1]
	}
	b = binary.AppendUvarint(b, flag(!p.last))
	if !p.last {
		b = appendBytes(b, []byte(p.path))
		b = binary.AppendUvarint(b, p.ino)
		b = appendBytes(b, p.kept)
		b = binary.AppendUvarint(b, uint64(p.length))
		b = binary.AppendUvarint(b, p.next)
	}
	content := b
	if err := disk.WriteFull(d.f, sealRecord(content), d.end); err != nil {
		return err
	}
	if err := d.f.SyncAll(); err != nil {
		return err
	}
	if !d.take(content) {
		return fmt.Errorf("record of batch %d in %s cannot be read back", d.batches, d.f.Name())
	}
	d.end += recordOverhead + int64(len(content))
	return nil
}

// sealRecord is the record with a content.
func sealRecord(content []byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, len(content)+recordOverhead), uint32(len(content)))
	sum := sha256.Sum256(content)
	return append(append(b, content...), sum[:]...)
}

// inodeSet is a set of inode numbers: some bits for each where they lie close together, as they do.
type inodeSet struct {
	pages map[uint64]*[inodePage / 64]uint64
}

const inodePage = 4096

func (s *inodeSet) add(ino uint64) {
	if s.pages == nil {
		s.pages = map[uint64]*[inodePage / 64]uint64{}
	}
	p := s.pages[ino/inodePage]
	if p == nil {
		p = new([inodePage / 64]uint64)
		s.pages[ino/inodePage] = p
	}
	p[ino%inodePage/64] |= 1 << (ino % 64)
}

func (s *inodeSet) has(ino uint64) bool {
	p := s.pages[ino/inodePage]
	return p != nil && p[ino%inodePage/64]&(1<<(ino%64)) != 0
}
