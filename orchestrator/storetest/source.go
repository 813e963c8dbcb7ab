package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

// PutFile puts [off, off+n) of src at the same place of the file path, holes as holes, and syncs: what a copy of a file does, in one call.
func PutFile(ctx context.Context, s orchestrator.Store, path string, src *os.File, off, n int64) (orchestrator.Added, error) {
	var all orchestrator.Added
	if n == 0 {
		return all, nil
	}
	bs, err := blockSize(ctx, s)
	if err != nil {
		return all, err
	}
	m, parts, err := partsOf(path, src, off, n, bs)
	if err != nil {
		return all, fmt.Errorf("put %s: %w", path, err)
	}
	if m != nil {
		defer m.Close()
	}
	list, err := s.Put(ctx, m, parts)
	if err == nil {
		err = s.Sync(ctx)
	}
	if err != nil {
		return all, err
	}
	for _, a := range list {
		all.New += a.New
		all.Known += a.Known
		all.Zero += a.Zero
		all.Fresh = append(all.Fresh, a.Fresh...)
	}
	return all, nil
}

// blockSize asks the store, which may know it without counting all files.
func blockSize(ctx context.Context, s orchestrator.Store) (int64, error) {
	if known, ok := s.(interface{ BlockBytes() int64 }); ok {
		return known.BlockBytes(), nil
	}
	u, err := s.Usage(ctx)
	return u.BlockSize, err
}

// partsOf reads a range of a file into memory. Ranges that make no sense are left to the store.
func partsOf(path string, src *os.File, off, n, bs int64) (*orchestrator.Memory, []orchestrator.Part, error) {
	if off < 0 || n < 1 || off > 1<<40 || n > 1<<30 {
		return nil, []orchestrator.Part{{Path: path, Off: off, N: n, From: orchestrator.Hole}}, nil
	}
	m, err := orchestrator.NewMemory(int(n))
	if err != nil {
		return nil, nil, err
	}
	if k, err := src.ReadAt(m.Bytes(), off); int64(k) < n {
		return nil, nil, errors.Join(fmt.Errorf("the source ends at %d, want %d bytes: %w", off+int64(k), off+n, io.ErrUnexpectedEOF), err, m.Close())
	}
	var parts []orchestrator.Part
	for at, end := off, off+n; at < end; {
		data, hole, err := nextData(src, at, end)
		if err != nil {
			return nil, nil, errors.Join(err, m.Close())
		}
		if data = max(at, data/bs*bs); off%bs != 0 {
			data, hole = at, end
		}
		if data > at {
			parts = append(parts, orchestrator.Part{Path: path, Off: at, N: data - at, From: orchestrator.Hole})
		}
		at = min((hole+bs-1)/bs*bs, end)
		if at > data {
			parts = append(parts, orchestrator.Part{Path: path, Off: data, N: at - data, From: data - off})
		}
	}
	return m, parts, nil
}

// nextData returns where data begins at or behind off, and where it ends, at most at end. Without data both are end.
func nextData(f *os.File, off, end int64) (from, to int64, err error) {
	from, err = unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) || err == nil && from >= end {
		return end, end, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look for data in %s at %d: %w", f.Name(), off, err)
	}
	to, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, fmt.Errorf("look for a hole in %s at %d: %w", f.Name(), from, err)
	}
	return from, min(to, end), nil
}
