package storetest

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// sumsName is where the sums of a file lie. The time of birth is in it: inode numbers are used again.
func (p *Plain) sumsName(f *os.File) (string, error) {
	var x unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &x); err != nil {
		return "", fmt.Errorf("state of %s: %w", f.Name(), err)
	}
	return filepath.Join(p.sums, fmt.Sprintf("%d-%d.%09d", x.Ino, x.Btime.Sec, x.Btime.Nsec)), nil
}

// openSums opens the sums of a file for reading and writing.
func (p *Plain) openSums(f *os.File) (*os.File, error) {
	name, err := p.sumsName(f)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.sums, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
}

// readSum returns what is recorded for a block, null for none.
func readSum(f *os.File, block int64) (s sum, err error) {
	n, err := f.ReadAt(s[:], block*int64(len(s)))
	if errors.Is(err, io.EOF) {
		if n < len(s) {
			s = sum{}
		}
		err = nil
	}
	return s, err
}

// loadLocked fills known with what earlier processes have stored. mu is held.
func (p *Plain) loadLocked() error {
	if p.loaded {
		return nil
	}
	list, err := os.ReadDir(p.sums)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	for _, d := range list {
		if d.Name() == scrubName {
			continue
		}
		if err := addSums(filepath.Join(p.sums, d.Name()), p.known); err != nil {
			return err
		}
	}
	p.loaded = true
	return nil
}

// addSums adds what a file of sums has.
func addSums(name string, to map[sum]struct{}) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for ; len(data) >= len(sum{}); data = data[len(sum{}):] {
		if s := sum(data); s != (sum{}) {
			to[s] = struct{}{}
		}
	}
	return nil
}

// take counts a block as stored, and tells whether it was new. No room is ENOSPC.
func (p *Plain) take(s sum) (fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.loadLocked(); err != nil {
		return false, err
	}
	if _, ok := p.known[s]; ok {
		return false, nil
	}
	if int64(len(p.known)+1)*p.BlockSize > p.Size {
		return false, fmt.Errorf("store a block: %d bytes are full: %w", p.Size, unix.ENOSPC)
	}
	p.known[s] = struct{}{}
	return true, nil
}
