package fsck

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tresor/index/disk"
	"tresor/index/format"
)

const (
	// MaxReports is how many reports of files a Result holds.
	MaxReports = 100_000
	// spillSuffix names the file that takes the lines beyond MaxReports until corrupted.txt is complete.
	spillSuffix = ".new"
	spillBuffer = 1 << 20
)

// reportList collects the reports of a repair: the first ones in memory, the lines of the others in a file. Any number of goroutines may
// call add.
type reportList struct {
	v   *Volume
	dry bool // no file

	// mu guards what is below. The file of further lines is written under it; nothing else is taken.
	mu      sync.Mutex
	list    []FileReport
	more    uint64 // lines beyond those in list
	fixed   uint64 // files
	damaged uint64 // files left damaged
	touched bool   // something was changed
	sum     damage // of the damaged files that are where they were
	spill   disk.File
	size    int64 // of the spill
	buffer  []byte
	err     error // the first of writing the spill
}

func (l *reportList) limit() int {
	if l.v.maxReports > 0 {
		return l.v.maxReports
	}
	return MaxReports
}

func (l *reportList) add(r FileReport) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.String()
	if r.Damaged() {
		l.damaged++
	} else {
		l.fixed++
	}
	if r.Damaged() && r.Place == "" {
		l.sum.add(line[len("FCSL "):])
	}
	l.touched = l.touched || r.Place != "" || r.Letters.Fixed != 0 || r.Letters.Size == 's' || r.Letters.Length == 'l'
	if len(l.list) < l.limit() {
		l.list = append(l.list, r)
		return
	}
	l.more++
	if l.dry || l.err != nil {
		return
	}
	if l.buffer = append(append(l.buffer, line...), '\n'); len(l.buffer) >= spillBuffer {
		l.err = l.flush()
	}
}

func (l *reportList) name() string {
	return filepath.Join(l.v.Root, format.SpecialName, format.CorruptedName)
}

// flush writes the buffered lines to the file; mu is held, or all goroutines are through.
func (l *reportList) flush() (err error) {
	if l.spill == nil {
		if err := l.v.specialDir(); err != nil {
			return err
		}
		if err := remove(l.v.FS, l.name()+spillSuffix); err != nil {
			return err
		}
		l.spill, err = l.v.FS.OpenFile(l.name()+spillSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			l.spill = nil
			return err
		}
	}
	if err := disk.WriteFull(l.spill, l.buffer, l.size); err != nil {
		return err
	}
	l.size += int64(len(l.buffer))
	l.buffer = l.buffer[:0]
	return nil
}

// close takes the file of an unfinished list away.
func (l *reportList) close() error {
	if l.spill == nil {
		return nil
	}
	err := errors.Join(l.spill.Close(), remove(l.v.FS, l.name()+spillSuffix))
	l.spill = nil
	return err
}

// result sorts the reports in memory and hands them over with the counts.
func (l *reportList) result(res *Result) {
	slices.SortFunc(l.list, compareReports)
	res.Reports, res.More, res.FilesFixed, res.FilesDamaged = l.list, l.more, l.fixed, l.damaged
}

// write renews corrupted.txt in the special directory. A repair that changed nothing and finds the same files damaged as the list in
// place leaves that as it is.
func (l *reportList) write() error {
	if l.err != nil {
		return fmt.Errorf("write %s: %w", format.CorruptedName, l.err)
	}
	old, err := l.oldDamage()
	if err != nil {
		return fmt.Errorf("read %s: %w", format.CorruptedName, err)
	}
	if !l.touched && old == l.sum {
		return nil
	}
	if err := l.replace(); err != nil {
		return fmt.Errorf("write %s: %w", format.CorruptedName, err)
	}
	return nil
}

func (l *reportList) replace() error {
	if err := l.v.specialDir(); err != nil {
		return err
	}
	var text strings.Builder
	for i := range l.list {
		text.WriteString(l.list[i].String() + "\n")
	}
	if l.more == 0 {
		if err := l.v.rotate(l.name()); err != nil {
			return err
		}
		return disk.WriteFileAtomic(l.v.FS, l.name(), []byte(text.String()), 0o644)
	}
	l.buffer = append(l.buffer, text.String()...)
	if err := l.flush(); err != nil {
		return err
	}
	if err := l.spill.SyncAll(); err != nil {
		return err
	}
	err := l.spill.Close()
	l.spill = nil
	if err != nil {
		return err
	}
	if err := l.v.rotate(l.name()); err != nil {
		return err
	}
	if err := l.v.FS.Rename(l.name()+spillSuffix, l.name()); err != nil {
		return err
	}
	return l.v.FS.SyncDir(filepath.Dir(l.name()))
}
