package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Interval is how often a running command says what it is doing.
const Interval = 3 * time.Second

// Progress tells on an error stream how far something is: on a terminal by rewriting one line, elsewhere by a line
// every interval. It is safe for concurrent use. The zero interval prints every message.
type Progress struct {
	w        io.Writer
	verb     string
	interval time.Duration
	terminal bool
	now      func() time.Time

	mu    sync.Mutex // guards the fields below; output is written under it; no other lock is taken
	start time.Time
	last  time.Time
	open  bool // a line without its newline stands on the terminal
}

// NewProgress starts a progress report for a verb; the first message appears after one interval at the earliest.
func NewProgress(w io.Writer, verb string, interval time.Duration) *Progress {
	return newProgress(w, verb, interval, isTerminal(w), time.Now)
}

func newProgress(w io.Writer, verb string, interval time.Duration, terminal bool, now func() time.Time) *Progress {
	t := now()
	return &Progress{w: w, verb: verb, interval: interval, terminal: terminal, now: now, start: t, last: t}
}

// Say shows the message with the time that passed, unless the last one is less than an interval ago.
func (p *Progress) Say(text string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.now()
	if t.Sub(p.last) < p.interval {
		return
	}
	p.last = t
	line := fmt.Sprintf("%s: %s (%s)", title(p.verb), oneLine(fmt.Sprintf(text, args...)), t.Sub(p.start).Round(time.Second))
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.open = true
		return
	}
	fmt.Fprintln(p.w, line)
}

// Percent shows done of total as a percentage; a total of 0 shows done alone.
func (p *Progress) Percent(what string, done, total uint64) {
	if total == 0 {
		p.Say("%s %d", what, done)
		return
	}
	p.Say("%s %.1f%%", what, 100*float64(done)/float64(total))
}

// Done clears the line on a terminal. Later messages start a new one.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = false
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
