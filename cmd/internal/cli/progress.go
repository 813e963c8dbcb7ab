package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"tresor/index/format"
	"tresor/index/progress"
)

// Interval is how often a running command says what it is doing.
const Interval = 3 * time.Second

// Progress tells on an error stream how far something is: on a terminal by rewriting one line, elsewhere by a line
// every interval. It is safe for concurrent use. The zero interval prints every message.
type Progress struct {
	w        io.Writer
	title    string
	interval time.Duration
	width    int // of the terminal in columns; 0: there is none
	now      func() time.Time

	mu    sync.Mutex // guards the fields below; output is written under it; no other lock is taken
	start time.Time
	last  time.Time
	open  bool // a line without its newline stands on the terminal
	stage string
	began time.Time // of the stage
	from  uint64    // done when it began
}

// NewProgress starts a progress report for a verb; the first message appears after one interval at the earliest.
func NewProgress(w io.Writer, verb string, interval time.Duration) *Progress {
	return NewProgressFor(w, "ddumbfs", verb, interval)
}

// NewProgressFor is NewProgress for a verb of another program.
func NewProgressFor(w io.Writer, program, verb string, interval time.Duration) *Progress {
	return newProgress(w, title(program, verb), interval, Width(w), time.Now)
}

// newProgress: width is that of the terminal in columns, 0 where there is none.
func newProgress(w io.Writer, title string, interval time.Duration, width int, now func() time.Time) *Progress {
	t := now()
	return &Progress{w: w, title: title, interval: interval, width: width, now: now, start: t, last: t}
}

// Say shows the message with the time that passed, unless the last one is less than an interval ago.
func (p *Progress) Say(text string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.now(); p.dueLocked(t) {
		p.sayLocked(t, fmt.Sprintf(text, args...))
	}
}

// dueLocked tells whether an interval has passed since the last message. The caller holds mu.
func (p *Progress) dueLocked(t time.Time) bool { return t.Sub(p.last) >= p.interval }

// sayLocked shows a message with the time t. The caller holds mu.
func (p *Progress) sayLocked(t time.Time, text string) {
	p.last = t
	line := fmt.Sprintf("%s: %s (%s)", p.title, oneLine(text), t.Sub(p.start).Round(time.Second))
	if p.width > 0 {
		if r := []rune(line); len(r) >= p.width { // a second row would not be rewritten
			line = string(r[:p.width-1])
		}
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.open = true
		return
	}
	fmt.Fprintln(p.w, line)
}

// Stage shows how far a stage of the work is: percent, rate, and the time left at the average rate of this stage. It fits
// progress.Func.
func (p *Progress) Stage(s progress.Stage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.now()
	if s.Name != p.stage {
		p.stage, p.began, p.from = s.Name, t, s.Done
	}
	if p.dueLocked(t) { // a text for each MiB that nobody sees costs a copy 0.6 % of its time
		p.sayLocked(t, s.String()+p.rateLocked(t, &s))
	}
}

// rateLocked is how fast the stage goes at t and how long it goes on so, where that can be told. The caller holds mu.
func (p *Progress) rateLocked(t time.Time, s *progress.Stage) (text string) {
	spent := t.Sub(p.began)
	done := s.Done - min(p.from, s.Done) // what an earlier run did does not count for the rate
	if spent < time.Second || done == 0 {
		return ""
	}
	rate := float64(done) / spent.Seconds()
	if s.Unit == progress.Bytes {
		text = ", " + format.FormatSize(int64(rate)) + "/s"
	} else {
		text = fmt.Sprintf(", %.3g %s/s", rate, s.Unit)
	}
	if s.Total > s.Done {
		left := time.Duration(float64(s.Total-s.Done) / rate * float64(time.Second))
		text += ", " + left.Round(time.Second).String() + " left"
	}
	return text
}

// Done clears the line on a terminal. Later messages start a new one.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
}

// Write writes what others have to say, whole lines, above the line that is rewritten.
func (p *Progress) Write(lines []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
	return p.w.Write(lines)
}

// clearLocked takes the line away that is rewritten. The caller holds mu.
func (p *Progress) clearLocked() {
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = false
	}
}

// usualWidth is that of a terminal which does not say how wide it is.
const usualWidth = 80

// Width is how many columns the terminal has that w writes to; 0: it is none.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || f.Name() == os.DevNull {
		return 0
	}
	if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
		return columns
	}
	return usualWidth
}
