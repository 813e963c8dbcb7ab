package copier

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/cksum"
)

// Identity is how a file looks that has not been changed. Times are nanoseconds since 1970.
type Identity struct {
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"`
	Ctime int64  `json:"ctime"`
	Inode uint64 `json:"inode"`
}

func identity(st *unix.Stat_t) Identity {
	return Identity{Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Inode: st.Ino}
}

// line of a log: a file that is done (Sum), or a segment of one (Part).
type line struct {
	ID   Identity              `json:"id"`
	New  int64                 `json:"new,omitempty"` // bytes that the target had not held before, in whole blocks
	Pad  int64                 `json:"pad,omitempty"` // of these, behind the end of the file
	Sum  *orchestrator.FileSum `json:"sum,omitempty"`
	Part *part                 `json:"part,omitempty"`
}

// part is a segment that is in the target, and the running sums behind it.
type part struct {
	Path   orchestrator.Path     `json:"path"`
	Offset int64                 `json:"offset"` // of its end
	Cksum  cksum.State           `json:"cksum"`
	XXHash []byte                `json:"xxhash"`
	Digest orchestrator.Digest   `json:"digest"`
	Fresh  []orchestrator.Blocks `json:"fresh,omitempty"`
	Whole  bool                  `json:"whole,omitempty"`
}

// Log is what has been copied, in a file that only grows: one line for each entry, with a sum of it. A torn end is cut off when it is opened. It is
// used by one Copy at a time.
type Log struct {
	f     *os.File
	step  func(string)
	done  map[orchestrator.Path]line
	parts []line // of the file that was copied last
	bytes int64
}

// OpenLog opens or makes a log. step as in Options.
func OpenLog(path string, step func(string)) (*Log, error) {
	if step == nil {
		step = func(string) {}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of a copy: %w", err)
	}
	l := &Log{f: f, step: step, done: map[orchestrator.Path]line{}}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open log of a copy %s: %w", path, err), f.Close())
	}
	return l, nil
}

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }

// Sync makes all lines durable.
func (l *Log) Sync() error {
	if err := l.f.Sync(); err != nil {
		return &LogError{fmt.Errorf("sync %s: %w", l.f.Name(), err)}
	}
	return nil
}

// LogError is a failure of the file of a log: it says nothing about the source or the target of a copy.
type LogError struct{ Err error }

func (e *LogError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *LogError) Unwrap() error { return e.Err }

// Empty tells whether nothing has been copied.
func (l *Log) Empty() bool { return l.bytes == 0 }

// Reset forgets everything, durably: the next Copy begins at the beginning.
func (l *Log) Reset() error {
	l.done, l.parts, l.bytes = map[orchestrator.Path]line{}, nil, 0
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("reset log of a copy: %w", err)
	}
	return l.Sync()
}

// load reads the lines up to the first that is not whole, and cuts the file there: what is behind it is copied again.
func (l *Log) load() error {
	in := bufio.NewReaderSize(l.f, 1<<20)
	for {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		e, ok := decodeLine(text)
		if !ok {
			break
		}
		l.bytes += int64(len(text))
		l.remember(e)
	}
	if err := l.f.Truncate(l.bytes); err != nil {
		return err
	}
	_, err := l.f.Seek(l.bytes, io.SeekStart)
	return err
}

func (l *Log) remember(e line) {
	switch {
	case e.Sum != nil:
		l.done[e.Sum.Path] = e
		l.parts = nil
	case e.Part != nil:
		if len(l.parts) > 0 && (l.parts[0].ID != e.ID || l.parts[0].Part.Path != e.Part.Path || l.parts[len(l.parts)-1].Part.Offset >= e.Part.Offset) {
			l.parts = nil
		}
		l.parts = append(l.parts, e)
	}
}

// append adds a line. It is durable when the next Sync has returned.
func (l *Log) append(e line) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write log of a copy: %w", err)
	}
	text = fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(text), text)
	l.step("before log")
	if _, err := l.f.WriteAt(text, l.bytes); err != nil {
		return &LogError{fmt.Errorf("write log of a copy: %w", err)}
	}
	l.step("after log")
	l.bytes += int64(len(text))
	l.remember(e)
	return nil
}

func decodeLine(text []byte) (e line, ok bool) {
	body, whole := bytes.CutSuffix(text, []byte("\n"))
	sum, body, cut := bytes.Cut(body, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !whole || !cut || err != nil || crc32.ChecksumIEEE(body) != uint32(want) {
		return e, false
	}
	return e, json.Unmarshal(body, &e) == nil && (e.Sum != nil) != (e.Part != nil)
}

// resume returns what is known of a file that was being copied: the running sums, and how far they go. Without anything to go on with they are new.
func (l *Log) resume(path orchestrator.Path, id Identity, segment int64) (*sums, line) {
	s, have := newSums(segment), line{ID: id, Part: &part{Path: path}}
	if len(l.parts) == 0 || l.parts[0].Part.Path != path || l.parts[0].ID != id {
		return s, have
	}
	for n, e := range l.parts {
		if e.Part.Offset != int64(n+1)*segment {
			return s, have // other segments, or some are missing
		}
	}
	last := l.parts[len(l.parts)-1]
	xxh := xxhash.New()
	if xxh.UnmarshalBinary(last.Part.XXHash) != nil || last.Part.Offset > id.Size || last.Part.Cksum.Bytes != uint64(last.Part.Offset) {
		return s, have
	}
	s.cksum, s.xxh, s.resumed = last.Part.Cksum, xxh, true
	for _, e := range l.parts {
		s.segments = append(s.segments, e.Part.Digest)
		have.New += e.New
		have.Part.Fresh = merge(have.Part.Fresh, e.Part.Fresh)
		have.Part.Whole = have.Part.Whole || e.Part.Whole
	}
	have.Part.Offset = last.Part.Offset
	return s, have
}

// maxFresh bounds the runs of new blocks that are kept for a file; with more of them all of it is read.
const maxFresh = 1 << 18

// merge adds runs behind others, as one where they meet.
func merge(list, more []orchestrator.Blocks) []orchestrator.Blocks {
	for _, b := range more {
		if n := len(list) - 1; n >= 0 && list[n].First+list[n].Count == b.First {
			list[n].Count += b.Count
		} else {
			list = append(list, b)
		}
	}
	return list
}
