package runlog

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

// Field is the field of an entry that says which run it belongs to.
const Field = "run"

// Line is one line of a log.
type Line struct {
	Time   time.Time      `json:"time"`
	Level  string         `json:"level"` // debug, info, warning, error
	Text   string         `json:"msg"`
	Fields map[string]any `json:"fields,omitempty"`
	Result Result         `json:"result,omitempty"` // of the run; only its last line has one
	Torn   bool           `json:"torn,omitempty"`   // no whole line: Text is what a crash left of it
}

// Result of a run.
type Result string

// Results of runs. A run whose log has none was cut off, or goes on.
const (
	OK      Result = "ok"
	Partial Result = "partial" // some of it failed
	Failed  Result = "failed"
	Stopped Result = "stopped" // somebody asked for it
)

// made tells whether there is a backup.
func (r Result) made() bool { return r == OK || r == Partial }

func newLine(e *logrus.Entry) Line {
	l := Line{Time: e.Time.UTC(), Level: e.Level.String(), Text: e.Message}
	for k, v := range e.Data {
		if k == Field {
			continue
		}
		if l.Fields == nil {
			l.Fields = map[string]any{}
		}
		switch x := v.(type) {
		case error:
			v = x.Error()
		case time.Duration:
			v = x.String()
		case json.Marshaler, nil, bool, string, int, int64, uint64, float64:
		case fmt.Stringer:
			v = x.String()
		}
		if _, err := json.Marshal(v); err != nil { // a channel, a function, a number that is none: its text is better than no line
			v = fmt.Sprint(v)
		}
		l.Fields[k] = v
	}
	return l
}

// decode reads what is between two line ends.
func decode(text []byte) Line {
	var l Line
	if err := json.Unmarshal(text, &l); err != nil || l.Time.IsZero() {
		return Line{Level: logrus.WarnLevel.String(), Text: strings.ToValidUTF8(string(text), "\uFFFD"), Torn: true}
	}
	return l
}

// WriteTo writes a line for people: time, level, text, fields in the order of their names.
func (l Line) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	if l.Torn {
		fmt.Fprintf(&b, "(torn by a crash) %s\n", visible(l.Text))
	} else {
		fmt.Fprintf(&b, "%s %-7s %s", l.Time.Local().Format("2006-01-02 15:04:05"), strings.ToUpper(l.Level), visible(l.Text))
		for _, k := range slices.Sorted(maps.Keys(l.Fields)) {
			fmt.Fprintf(&b, "  %s=%s", k, fieldText(l.Fields[k]))
		}
		b.WriteByte('\n')
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func fieldText(v any) string {
	text, ok := v.(string)
	if !ok {
		encoded, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(encoded)
	}
	if text == "" || strings.ContainsAny(text, " \t\n\"=") {
		return strconv.Quote(text)
	}
	return visible(text)
}

// visible keeps what comes from file names and other programs from driving a terminal. Lines after the first one of a text are set in.
func visible(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
