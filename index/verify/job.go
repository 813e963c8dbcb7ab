package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"tresor/index/blockfile"
	"tresor/index/blockhash"
	"tresor/index/cores"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
	"tresor/index/recipe"
)

const (
	chunkBytes = 1 << 20
	// window is how many entries are looked at before those in doubt get a second look.
	window = 32 << 10
	// rounds is how often an entry that changes is looked at again.
	rounds = 4
	// maxSeen bounds the note of blocks that were read already.
	maxSeen = 1 << 20
)

// job is one verification. Only mu's fields are touched by more than one goroutine at a time.
type job struct {
	ctx     context.Context
	t       Target
	g       *format.Geometry
	src     *blockfile.Uncached
	info    fs.FileInfo // of the file before it was opened
	file    disk.File
	rec     *recipe.File
	outside disk.File // nil: the blocks are compared
	rep     *Report
	meter   *progress.Meter
	workers int
	chunk   int // blocks read with one call
	memory  disk.Memory
	seen    map[format.Address]blockhash.Hash // what blocks hold that were read and good

	mu    sync.Mutex // guards doubt; leaf, no I/O
	doubt []uint64   // numbers of entries that need a second look
	read  atomic.Uint64
}

func newJob(ctx context.Context, t Target, outside disk.File, o Options) (j *job, err error) {
	j = &job{ctx: ctx, t: t, g: t.Geometry, outside: outside, rep: &Report{}, workers: o.Workers, seen: map[format.Address]blockhash.Hash{}}
	if j.workers <= 0 {
		j.workers = cores.Count() + cores.Waiting
	}
	j.chunk = max(1, chunkBytes>>j.g.BlockShift)
	defer func() {
		if err != nil {
			err = errors.Join(err, j.close())
		}
	}()
	if err = j.refresh(); err != nil {
		return j, err
	}
	if j.info, err = t.FS.Lstat(t.File); err != nil {
		return j, err
	}
	if j.file, err = t.FS.OpenFile(t.File, os.O_RDONLY|unix.O_NOFOLLOW, 0); err != nil {
		return j, err
	}
	j.rec = recipe.New(j.file, j.g)
	if j.src, err = blockfile.OpenUncached(t.FS, t.Blocks, j.g); err != nil {
		return j, err
	}
	j.memory, err = disk.Alloc((j.workers+1)*j.bufferSize(), disk.AllocOptions{HugePages: true})
	return j, err
}

func (j *job) bufferSize() int { return max(4096, j.chunk<<j.g.BlockShift) }

// buffer is page-aligned memory of a worker; number workers is for the second look.
func (j *job) buffer(i int) []byte { return j.memory.Bytes()[i*j.bufferSize() : (i+1)*j.bufferSize()] }

func (j *job) close() error {
	var errs []error
	if j.file != nil {
		errs = append(errs, j.file.Close())
	}
	if j.src != nil {
		errs = append(errs, j.src.Close())
	}
	return errors.Join(append(errs, j.memory.Close())...)
}

func (j *job) refresh() error {
	if j.t.Refresh == nil {
		return nil
	}
	return j.t.Refresh()
}

// same is an error where the path does not lead to the file any more that it led to before it was opened.
func (j *job) same() error {
	info, err := j.t.FS.Lstat(j.t.File)
	if err != nil {
		return fmt.Errorf("the file was removed or renamed meanwhile: %w", err)
	}
	now, ok := info.Sys().(*syscall.Stat_t)
	first, known := j.info.Sys().(*syscall.Stat_t)
	if ok && known && (now.Ino != first.Ino || now.Dev != first.Dev) {
		return errors.New("the file was replaced by another one meanwhile")
	}
	return nil
}

// spread calls do for the numbers below n on all workers, until one fails.
func (j *job) spread(n int, do func(i int, buf []byte) error) error {
	var next atomic.Int64
	var w sync.WaitGroup
	errs := make([]error, j.workers)
	ctx, stop := context.WithCancel(j.ctx)
	defer stop()
	for k := range min(j.workers, n) {
		w.Go(func() {
			for errs[k] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[k] = ctx.Err(); errs[k] == nil {
					errs[k] = do(i, j.buffer(k))
				}
			}
			stop()
		})
	}
	w.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return j.ctx.Err()
}

// suspect wants a second look at entries.
func (j *job) suspect(numbers ...uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.doubt = append(j.doubt, numbers...)
}

// find adds a finding for entry i, as far as it reaches into the file.
func (j *job) find(kind Kind, i uint64, e *format.Entry, text string) {
	f := Finding{Kind: kind, Offset: i << j.g.BlockShift, Text: text}
	if e != nil {
		f.Address = uint64(e.Addr)
	}
	end := max(j.rep.Size, f.Offset+1)
	f.Length = min(uint64(j.g.BlockSize), end-f.Offset)
	j.add(f)
}

func (j *job) add(f Finding) {
	if len(j.rep.Findings) >= 64*maxFindings { // neighbours are joined later
		j.rep.More++
		return
	}
	j.rep.Findings = append(j.rep.Findings, f)
}

// second takes a second look at what is in doubt: the entry is read again, and judged as it is now. An entry that is another one each time
// belongs to a file that is being written.
func (j *job) second(judge func(i uint64, e *format.Entry, buf []byte) (kind Kind, text string, err error)) error {
	list := j.doubt
	j.doubt = nil
	if len(list) == 0 {
		return nil
	}
	buf := j.buffer(j.workers)
	for _, i := range list {
		if err := j.look(i, buf, judge); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) look(i uint64, buf []byte, judge func(i uint64, e *format.Entry, buf []byte) (Kind, string, error)) error {
	var e, again format.Entry
	if err := j.entry(i, &e); err != nil {
		return err
	}
	for range rounds {
		kind, text, err := judge(i, &e, buf)
		if err != nil || kind == "" {
			return err
		}
		if err := errors.Join(j.ctx.Err(), j.refresh()); err != nil {
			return err
		}
		if err := j.same(); err != nil {
			return err
		}
		if err := j.entry(i, &again); err != nil {
			return err
		}
		if again == e {
			j.find(kind, i, &e, text)
			return nil
		}
		e = again
	}
	j.rep.Changing++
	return nil
}

// entry reads one entry; one behind the end is null.
func (j *job) entry(i uint64, e *format.Entry) error {
	var one [1]format.Entry
	if _, err := j.rec.ReadEntries(i, one[:]); err != nil {
		return err
	}
	*e = one[0]
	return nil
}
