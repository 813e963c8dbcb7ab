package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// saysHow says with -v who does the work.
func (v *copyFile) saysHow(s Streams, text string, args ...any) {
	if v.verbose {
		cli.Note(s.Err, "cp", text, args...)
	}
}

// sendIn has the process that serves a volume store a file: it gets the open file, which is opened here with the rights of whoever calls this.
func (v *copyFile) sendIn(ctx context.Context, s Streams, m *index.Mount, from string, to stored) (c *copied, err error) {
	if v.index != "" || v.blocks != "" {
		return nil, arguments("volume %s is mounted on %s: --index and --blocks are for volumes that are not", to.parent, m.Point)
	}
	p, err := index.Acquire(index.Location{Parent: to.parent}, index.Read)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	c = &copied{Direction: "in", Volume: p.Dir, Outside: from, Served: true}
	in, err := v.openInput(p, from)
	if err != nil {
		return nil, err
	}
	defer in.close()
	if c.Path, c.Replaces, err = targetOf(to, from); err != nil {
		return nil, err
	}
	if v.dryRun {
		return c, v.sayIn(s, c)
	}
	v.saysHow(s, "the process that serves %s stores it", m.Point)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	file, err := in.passable(ctx, cancel)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	args := control.CopyInArgs{Path: control.Path(c.Path), Verify: v.check, Confirmed: in.complete != nil}
	if in.info != nil {
		args.Mode, args.Modified = uint32(in.info.Mode().Perm()), in.info.ModTime()
	}
	var w transfer.Written
	if err = v.call(ctx, s, m, control.OpCopyIn, file, in.complete, &args, &w); err == nil {
		c.Written = &w
	} else if errors.Is(err, socket.ErrNobody) {
		return c, nobody(err, m, fmt.Sprintf("cp %s %s goes through the kernel; or", from, filepath.Join(m.Point, to.path)))
	}
	if err == nil && v.verbose {
		err = listStored(ctx, s, p, c.Path)
	}
	return c, err
}

// nobody says what to do where no process answers for a mount.
func nobody(err error, m *index.Mount, instead string) error {
	if deadMount(m.Point) {
		return cli.Hint(cli.Exit(cli.ExitBusy, err), deadAdvice(m.Point))
	}
	return cli.Hint(cli.Exit(cli.ExitBusy, err), "its process is another user's, an older one, or the original's: "+instead+" unmount the volume first")
}

// call asks the serving process, with a file; complete: see input.
func (v *copyFile) call(ctx context.Context, s Streams, m *index.Mount, op string, file *os.File, complete <-chan struct{}, args, result any) error {
	show := cli.NewProgress(s.Err, "cp", cli.Interval)
	defer show.Done()
	err := socket.CallConfirmed(ctx, socket.Place{}, m.Source, op, file, complete, args, result, func(data json.RawMessage) {
		var stage progress.Stage
		if json.Unmarshal(data, &stage) == nil {
			show.Stage(stage)
		}
	})
	if errors.Is(err, format.ErrNoSpace) {
		return cli.Hint(err, "ddumbfs reclaim "+m.Point+" frees what no file refers to, and what this copy had stored")
	}
	return err
}

// input is the file outside, open.
type input struct {
	r    io.Reader
	file *os.File    // nil where it is none
	info fs.FileInfo // of a regular file
	own  bool        // file was opened here
	pipe *os.File    // into which it is read: open until the end of the copy, where reading failed

	complete chan struct{} // closed when all of it is in the pipe, whose end alone might be that of this process; nil: no pipe
}

func (i *input) close() {
	if i.own {
		_ = i.file.Close() // opened for reading
	}
	if i.pipe != nil {
		_ = i.pipe.Close() // perhaps a second time
	}
}

func (v *copyFile) openInput(p *index.Parent, name string) (*input, error) {
	if name == "-" {
		f, _ := v.in.(*os.File)
		return &input{r: v.in, file: f}, nil
	}
	if err := outsideOnly(p, name); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = arguments("%s is a directory", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	in := &input{r: f, file: f, own: true}
	if info.Mode().IsRegular() {
		in.info = info
	}
	return in, nil
}

// passable is the file to be sent: itself if it is a regular file that stands at its beginning, a block device or a pipe. Anything else is read here, into a pipe. The caller closes it.
func (i *input) passable(ctx context.Context, cancel context.CancelCauseFunc) (*os.File, error) {
	if i.file != nil && sendable(i.file, i.own) {
		return duplicate(i.file)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	i.pipe, i.complete = w, make(chan struct{})
	go func() {
		if _, err := io.Copy(w, interruptible(ctx, i.r)); err != nil {
			cancel(fmt.Errorf("read the input: %w", err)) // and the pipe stays open: its end would be that of the file
			return
		}
		_ = w.Close() // nothing is buffered
		close(i.complete)
	}()
	return r, nil
}

// sendable tells whether a file can be sent as it is. One that somebody else opened may stand anywhere, and a device is read from its beginning.
func sendable(f *os.File, own bool) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	return info.Mode()&fs.ModeNamedPipe != 0 || own && (info.Mode().IsRegular() || isBlockDevice(info))
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// receiveOut has the process that serves a volume write a stored file to an open file.
func (v *copyFile) receiveOut(ctx context.Context, s Streams, m *index.Mount, from stored, to string) (c *copied, err error) {
	p, err := index.Acquire(index.Location{Parent: from.parent}, index.Read)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	served, err := servedName(m, from.path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(served) // the kernel has it from the process that serves
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, arguments("%s is not a regular file", served)
	}
	c = &copied{Direction: "out", Volume: p.Dir, Path: from.path, Outside: to, Served: true}
	dst := destination{name: to}
	if err := dst.look(p, filepath.Base(from.path)); err != nil {
		return nil, err
	}
	if !v.force {
		if err := dst.othersOnly(); err != nil {
			return nil, err
		}
	}
	c.Outside, c.Replaces = dst.name, dst.there
	if v.dryRun {
		return c, v.sayOut(s, c, info.Size())
	}
	v.saysHow(s, "the process that serves %s reads it", m.Point)
	c.Read = &transfer.Read{Bad: []transfer.Range{}}
	get := func(f *os.File) error {
		return v.call(ctx, s, m, control.OpCopyOut, f, nil, &control.CopyOutArgs{Path: control.Path(c.Path), Force: v.force}, c.Read)
	}
	switch {
	case to == "-":
		err = intoStream(s.Out, get)
	case dst.special:
		err = intoSpecial(dst.name, info.Size(), get)
	default:
		err = transfer.ReplaceFrom(nil, dst.name, transfer.FileOptions{Mode: info.Mode(), Modified: info.ModTime()}, func(tmp disk.File) error {
			f, err := os.OpenFile(tmp.Name(), os.O_WRONLY|unix.O_NOFOLLOW, 0)
			if err != nil {
				return err
			}
			return errors.Join(get(f), f.Close())
		})
	}
	if errors.Is(err, socket.ErrNobody) {
		return nil, err
	}
	if err == nil && v.verbose {
		err = listStored(ctx, s, p, c.Path)
	}
	return c, v.judgeOut(s, from, c, err)
}

// intoStream hands w to get if it is a pipe, else a pipe whose other end is copied to w.
func intoStream(w io.Writer, get func(f *os.File) error) error {
	if f, ok := w.(*os.File); ok && sendable(f, false) {
		return get(f)
	}
	r, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, r)
		done <- errors.Join(err, r.Close()) // closed early, it ends the other side
	}()
	err = errors.Join(get(pipe), pipe.Close())
	return errors.Join(<-done, err)
}

// intoSpecial writes to a device or a fifo. A device has all of it on its medium afterwards.
func intoSpecial(name string, size int64, get func(f *os.File) error) error {
	f, device, err := openSpecial(name, size)
	if err != nil {
		return err
	}
	if device {
		err = get(f)
	} else {
		err = intoStream(f, get)
	}
	if err == nil && device {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
