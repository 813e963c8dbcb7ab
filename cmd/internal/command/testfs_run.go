package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index/format"
	"tresor/index/progress"
)

// speedTest is one run of testfs.
type speedTest struct {
	files     []string
	size      int64
	data      pattern
	overwrite bool
	first     bool // what is done; see -o
	second    bool
	read      bool
	sync      bool
	compare   bool
	drop      bool
	progress  progress.Func
	say       func(text string) // nil: nothing
	result    *speedResult
}

// speedResult is what a run found, and its JSON form.
type speedResult struct {
	Files  int         `json:"files"`
	Size   int64       `json:"size"` // of each file
	Seed   uint64      `json:"seed"`
	Passes []speedPass `json:"passes"`
	// Difference is the first place that was not as written, nil if there was none.
	Difference *difference `json:"difference"`
}

// speedPass is one pass over all files.
type speedPass struct {
	Name    string  `json:"pass"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"bytes_per_second"`
}

// difference is a place that was not as written.
type difference struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Want   string `json:"want"` // up to 16 bytes in hexadecimal
	Have   string `json:"have"`
}

func (d *difference) Error() string {
	return fmt.Sprintf("compare %s: at offset %d: want %s, have %s", d.File, d.Offset, d.Want, d.Have)
}

// run makes the passes that were asked for. The result is valid beside an error, as far as it came.
func (t *speedTest) run(ctx context.Context) (*speedResult, error) {
	t.result.Files, t.result.Size = len(t.files), t.size
	flag := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if t.overwrite {
		flag = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	for _, p := range []struct {
		on   bool
		name string
		do   func(ctx context.Context, i int, meter *progress.Meter) error
	}{
		{t.first, "first write", func(ctx context.Context, i int, m *progress.Meter) error { return t.write(ctx, i, m, flag) }},
		{t.second, "second write", func(ctx context.Context, i int, m *progress.Meter) error { return t.write(ctx, i, m, os.O_WRONLY) }},
		{t.read || t.compare, "read", t.readBack},
	} {
		if !p.on {
			continue
		}
		if err := t.pass(ctx, p.name, p.do); err != nil {
			return t.result, err
		}
	}
	return t.result, nil
}

// pass runs do for all files at the same time and notes the rate. Of several errors all are reported.
func (t *speedTest) pass(ctx context.Context, name string, do func(ctx context.Context, i int, meter *progress.Meter) error) error {
	if t.say != nil {
		t.say(fmt.Sprintf("%s: %d files of %d bytes in requests of %d", name, len(t.files), t.size, t.data.request))
	}
	if name == "read" && t.drop {
		if err := t.dropCaches(); err != nil {
			return err
		}
	}
	meter := progress.New(t.progress, name, progress.Bytes, uint64(t.size)*uint64(len(t.files)))
	errs := make([]error, len(t.files))
	var all sync.WaitGroup
	start := time.Now()
	for i := range t.files {
		all.Go(func() { errs[i] = do(ctx, i, meter) })
	}
	all.Wait()
	spent := time.Since(start).Seconds()
	err := errors.Join(errs...)
	errors.As(err, &t.result.Difference)
	if err == nil {
		bytes := t.size * int64(len(t.files))
		t.result.Passes = append(t.result.Passes, speedPass{name, bytes, spent, float64(bytes) / max(spent, 1e-9)})
	}
	return err
}

// write writes one file from its start to its end.
func (t *speedTest) write(ctx context.Context, i int, meter *progress.Meter, flag int) (err error) {
	f, err := os.OpenFile(t.files[i], flag, 0o600)
	if err != nil {
		return noRoom(err)
	}
	defer func() { err = noRoom(errors.Join(err, f.Close())) }()
	buf := make([]byte, t.data.request)
	for off := int64(0); off < t.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(t.data.request, t.size-off)]
		t.data.fill(p, i, off)
		n, err := f.WriteAt(p, off)
		if err != nil {
			return err
		}
		meter.Add(uint64(n))
		off += int64(n)
	}
	if t.sync {
		return f.Sync()
	}
	return nil
}

// noRoom gives an error of a full disk its class.
func noRoom(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return format.Mark(format.ErrNoSpace, err)
	}
	return err
}

// readBack reads one file and compares it.
func (t *speedTest) readBack(ctx context.Context, i int, meter *progress.Meter) error {
	f, err := os.Open(t.files[i])
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != t.size {
		return &difference{File: t.files[i], Offset: min(info.Size(), t.size), Want: fmt.Sprint(t.size, " bytes"), Have: fmt.Sprint(info.Size(), " bytes")}
	}
	have, want := make([]byte, t.data.request), make([]byte, t.data.request)
	for off := int64(0); off < t.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := have[:min(t.data.request, t.size-off)]
		n, err := f.ReadAt(p, off)
		if n < len(p) {
			if errors.Is(err, io.EOF) {
				err = &difference{File: t.files[i], Offset: off + int64(n), Want: fmt.Sprint(t.size, " bytes"), Have: "the end of the file"}
			}
			return err
		}
		if t.compare {
			t.data.fill(want[:n], i, off)
			if at := differs(p, want[:n]); at >= 0 {
				end := min(at+16, n)
				return &difference{t.files[i], off + int64(at), fmt.Sprintf("%x", want[at:end]), fmt.Sprintf("%x", p[at:end])}
			}
		}
		meter.Add(uint64(n))
		off += int64(n)
	}
	return nil
}

// dropCaches lets the kernel forget what it has of the files. What is not on the disk yet cannot be forgotten, so they are synced first.
func (t *speedTest) dropCaches() error {
	for _, name := range t.files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err = f.Sync(); err == nil {
			err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("drop the cache of %s: %w", name, err)
		}
	}
	return nil
}
