package runlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/orchestrator"
)

const suffix = ".jsonl"

// Options of the logs. Dir is made if it is missing, readable for its owner and group only.
type Options struct {
	Dir     string
	Clock   orchestrator.Clock
	Secrets *Redactor // nil: none
}

// Logs are the logs of all runs in one directory. As a hook of logrus it writes each entry with the field Field to the log of that run, if that
// run was begun here. It may be used concurrently.
type Logs struct {
	dir     string
	clock   orchestrator.Clock
	secrets *Redactor

	mu   sync.Mutex // guards runs; files are opened and closed under it, and Run.mu is taken
	runs map[string]*Run
}

// Open opens the directory.
func Open(o Options) (*Logs, error) {
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("open logs of runs: %w", err)
	}
	l := &Logs{dir: o.Dir, clock: o.Clock, secrets: o.Secrets, runs: map[string]*Run{}}
	if l.clock == nil {
		l.clock = orchestrator.SystemClock()
	}
	return l, nil
}

func (l *Logs) path(id string) (string, error) {
	if parsed, err := ulid.ParseStrict(id); err != nil || parsed.String() != id {
		return "", fmt.Errorf("log of run %q: the id is no ULID (26 of 0-9 and A-Z)", id)
	}
	return filepath.Join(l.dir, id+suffix), nil
}

// Run is the log of a run that goes on. Entries reach it through Logs.
type Run struct {
	logs *Logs
	id   string

	mu    sync.Mutex // guards what follows; writes and syncs of the log happen under it, no other lock is taken
	f     *os.File   // nil after End
	err   error      // the first of a write
	torn  bool       // the disk took a part of the last line
	begun time.Time
}

// Begin opens the log of a run, which is held as in use until End or the end of the process. One that a crash has cut off goes on.
func (l *Logs) Begin(id, what string) (*Run, error) {
	path, err := l.path(id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs[id] != nil {
		return nil, fmt.Errorf("log of run %s: the run has begun already", id)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log of run: %w", err)
	}
	r := &Run{logs: l, id: id, f: f, begun: l.clock.Now()}
	if err := errors.Join(r.open(), r.write(Line{Time: r.begun.UTC(), Level: logrus.InfoLevel.String(), Text: l.secrets.Clean("begin: " + what)}, true),
		syncDir(l.dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("log of run %s: %w", id, err), f.Close())
	}
	l.runs[id] = r
	return r, nil
}

// open takes the lock and ends a line that a crash has torn.
func (r *Run) open() error {
	if err := lock(r.f); err != nil {
		return fmt.Errorf("lock: another process has this run: %w", err)
	}
	info, err := r.f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := r.f.ReadAt(last, info.Size()-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = r.f.Write([]byte{'\n'})
	}
	return err
}

// write appends one line by one call.
func (r *Run) write(line Line, durable bool) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("log of run %s: %w", r.id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return fmt.Errorf("log of run %s: %w", r.id, os.ErrClosed)
	}
	text = append(text, '\n')
	if r.torn {
		text = append([]byte{'\n'}, text...)
	}
	n, err := r.f.Write(text)
	r.torn = err != nil && (n > 0 || r.torn)
	if err == nil && durable {
		err = r.f.Sync()
	}
	if err == nil || r.err != nil {
		return nil // the first error is enough: a full disk would say the same at each line
	}
	r.err = fmt.Errorf("log of run %s: %w", r.id, err)
	return r.err
}

// End writes the last line and closes the log. The error is the first that any line of the run had. A second call does nothing.
func (r *Run) End(result Result) error {
	now := r.logs.clock.Now()
	r.logs.mu.Lock()
	defer r.logs.mu.Unlock()
	if r.logs.runs[r.id] != r {
		return nil
	}
	delete(r.logs.runs, r.id)
	took := now.Sub(r.begun).Round(time.Millisecond)
	err := r.write(Line{Time: now.UTC(), Level: logrus.InfoLevel.String(), Text: "end: " + string(result) + " after " + took.String(), Result: result}, true)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.err
	}
	err = errors.Join(err, r.f.Close())
	r.f = nil
	return err
}

// ID is that of the run.
func (r *Run) ID() string { return r.id }

// Levels is for logrus: all of them.
func (l *Logs) Levels() []logrus.Level { return logrus.AllLevels }

// Fire is for logrus. The first write that goes wrong is an error, which logrus prints; the others are silent, and End has it.
func (l *Logs) Fire(e *logrus.Entry) error {
	id, ok := e.Data[Field].(string)
	if !ok {
		return nil
	}
	l.mu.Lock()
	r := l.runs[id]
	l.mu.Unlock()
	if r == nil {
		return nil
	}
	line := newLine(e)
	line.Text = l.secrets.Clean(line.Text)
	for k, v := range line.Fields {
		line.Fields[k] = l.secrets.value(v)
	}
	if err := r.write(line, e.Level <= logrus.ErrorLevel); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// isRun tells whether a name in the directory is a log of ours, and of which run.
func isRun(name string) (id string, ok bool) {
	id, ok = strings.CutSuffix(name, suffix)
	if !ok {
		return "", false
	}
	parsed, err := ulid.ParseStrict(id)
	return id, err == nil && parsed.String() == id
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
