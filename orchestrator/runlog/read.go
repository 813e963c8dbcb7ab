package runlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

// Info is what is known about a log without reading all of it.
type Info struct {
	ID     string    `json:"id"`
	Begun  time.Time `json:"begun"` // by the id
	Ended  time.Time `json:"ended,omitzero"`
	Result Result    `json:"result,omitempty"` // empty: it goes on, or it was cut off
	What   string    `json:"what,omitempty"`
	Size   int64     `json:"size"`
	InUse  bool      `json:"in_use"` // some process writes it
}

// List returns all runs, the newest first. A log that cannot be looked at is in the error, and the others are returned still.
func (l *Logs) List() ([]Info, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list logs of runs: %w", err)
	}
	var list []Info
	var errs []error
	for _, e := range slices.Backward(entries) {
		id, ok := isRun(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := l.info(id)
		if err != nil {
			if !errors.Is(err, os.ErrNotExist) { // collected meanwhile
				errs = append(errs, err)
			}
			continue
		}
		list = append(list, info)
	}
	return list, errors.Join(errs...)
}

// ends is how much of a log is read to find its first and its last line.
const ends = 64 << 10

func (l *Logs) info(id string) (Info, error) {
	f, err := l.open(id)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("log of run: %w", err)
	}
	parsed, err := ulid.ParseStrict(id)
	if err != nil {
		return Info{}, fmt.Errorf("log of run %s: %w", id, err)
	}
	info := Info{ID: id, Begun: ulid.Time(parsed.Time()).UTC(), Size: st.Size(), InUse: inUse(f)}
	head := make([]byte, min(ends, st.Size()))
	tail := make([]byte, len(head))
	_, err1 := f.ReadAt(head, 0)
	_, err2 := f.ReadAt(tail, st.Size()-int64(len(tail)))
	if err := errors.Join(notEOF(err1), notEOF(err2)); err != nil {
		return Info{}, fmt.Errorf("log of run: %w", err)
	}
	first, _, _ := bytes.Cut(head, []byte{'\n'})
	if line := decode(first); !line.Torn {
		info.What = strings.TrimPrefix(line.Text, "begin: ")
	}
	tail = bytes.TrimRight(tail, "\n")
	if line := decode(tail[bytes.LastIndexByte(tail, '\n')+1:]); !line.Torn && line.Result != "" {
		info.Ended, info.Result = line.Time, line.Result
	}
	return info, nil
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (l *Logs) open(id string) (*os.File, error) {
	path, err := l.path(id)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("log of run: %w", err)
	}
	return f, nil
}

// Find returns the id of the run that begins with prefix, in any case of letters; that of the newest run for an empty one.
func (l *Logs) Find(prefix string) (string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return "", fmt.Errorf("find log of run: %w", err)
	}
	var found []string
	for _, e := range entries {
		if id, ok := isRun(e.Name()); ok && strings.HasPrefix(id, strings.ToUpper(prefix)) {
			found = append(found, id)
		}
	}
	switch {
	case len(found) == 0 && prefix == "":
		return "", fmt.Errorf("find log of run in %s: there is none yet: %w", l.dir, os.ErrNotExist)
	case len(found) == 0:
		return "", fmt.Errorf("find log of run %q in %s: there is none: %w", prefix, l.dir, os.ErrNotExist)
	case len(found) > 1 && prefix != "":
		return "", fmt.Errorf("find log of run %q: %d runs begin so, from %s to %s: give more letters", prefix, len(found), found[0], found[len(found)-1])
	}
	return found[len(found)-1], nil
}

// glance is how often a log that is followed is looked at.
const glance = 250 * time.Millisecond

// Read calls fn for each line of a log, and returns the error of fn if it has one. With follow it goes on until the run has ended or nobody writes
// it any more, or until ctx ends, which is no error then.
func (l *Logs) Read(ctx context.Context, id string, follow bool, fn func(Line) error) error {
	f, err := l.open(id)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	var part []byte // of a line whose end is not there yet
	for ended := false; ; {
		if ctx.Err() != nil {
			if follow {
				return nil
			}
			return context.Cause(ctx)
		}
		// Asked before the read: what was written before the writer let go is then seen by it.
		live := follow && !ended && inUse(f)
		text, err := r.ReadBytes('\n')
		part = append(part, text...)
		switch {
		case err == nil:
			if text := bytes.TrimSuffix(part, []byte{'\n'}); len(text) > 0 {
				line := decode(text)
				ended = line.Result != ""
				if err := fn(line); err != nil {
					return err
				}
			}
			part = nil
		case !errors.Is(err, io.EOF):
			return fmt.Errorf("log of run: %w", err)
		case live:
			if err := l.clock.Sleep(ctx, glance); err != nil && ctx.Err() == nil {
				return err
			}
		default:
			if len(part) > 0 {
				return fn(decode(part))
			}
			return nil
		}
	}
}

// WriteText writes a whole log for people.
func (l *Logs) WriteText(ctx context.Context, id string, w io.Writer) error {
	b := bufio.NewWriter(w)
	if err := l.Read(ctx, id, false, func(line Line) error { _, err := line.WriteTo(b); return err }); err != nil {
		return err
	}
	return b.Flush()
}
