package borg

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Line is something that borg said.
type Line struct {
	Repository, Step string
	Level            string // DEBUG, INFO, WARNING, ERROR, CRITICAL; empty: it was no message of borg's log
	ID               string // borg's name for what happened, if it has one
	Text             string
}

func (l Line) String() string {
	text := l.Step + ": " + l.Text
	if l.Level != "" {
		text = l.Step + ": " + strings.ToLower(l.Level) + ": " + l.Text
	}
	if l.Repository == "" {
		return text
	}
	return "repository " + l.Repository + ": " + text
}

// Progress is how far a call is.
type Progress struct {
	Repository, Step string
	Path             string // that is being archived
	Message          string // what is being done, if it is not archiving
	Files            int64
	Original         int64 // bytes that were read
	Compressed       int64
	Deduplicated     int64 // bytes that are new in the repository
	Current, Total   int64 // of what Message is about; 0: not known
	Finished         bool
}

// message is a line of borg --log-json.
type message struct {
	Type     string `json:"type"`
	Message  string `json:"message"`
	Level    string `json:"levelname"`
	ID       string `json:"msgid"`
	Path     string `json:"path"`
	Files    int64  `json:"nfiles"`
	Original int64  `json:"original_size"`
	Packed   int64  `json:"compressed_size"`
	New      int64  `json:"deduplicated_size"`
	Current  int64  `json:"current"`
	Total    int64  `json:"total"`
	Finished bool   `json:"finished"`
}

const (
	maxLine  = 1 << 20 // bytes; what is longer is cut
	maxKept  = 100     // warnings, errors and other lines that are kept of a call
	lastKept = 5       // of other lines
)

// talk takes borg's stderr apart, line by line. It is used by one goroutine at a time.
type talk struct {
	b                *Borg
	repository, step string
	secret           string

	rest     []byte
	id       string   // of the last error that has one
	errors   []string // of the level ERROR or higher
	warnings []string
	other    []string // no JSON: ssh, Python, the loader
	dropped  int      // warnings beyond those that are kept
}

func (t *talk) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			t.rest = append(t.rest, p[:min(len(p), max(0, maxLine-len(t.rest)))]...)
			return n, nil
		}
		t.line(append(t.rest, p[:i]...))
		t.rest, p = t.rest[:0], p[i+1:]
	}
}

// end takes what has no line end.
func (t *talk) end() {
	if len(t.rest) > 0 {
		t.line(t.rest)
		t.rest = nil
	}
}

func (t *talk) line(raw []byte) {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil || m.Type == "" {
		m = message{Type: "other", Message: string(raw)}
	}
	m.Message, m.Path = t.clean(m.Message), t.clean(m.Path)
	switch m.Type {
	case "archive_progress", "progress_percent", "progress_message":
		if t.b.o.Progress != nil {
			t.b.o.Progress(Progress{t.repository, t.step, m.Path, m.Message, m.Files, m.Original, m.Packed, m.New, m.Current, m.Total, m.Finished})
		}
		return
	case "log_message":
		t.keep(m)
	case "other":
		if m.Message == "" {
			return
		}
		if t.other = append(t.other, m.Message); len(t.other) > lastKept {
			t.other = t.other[1:]
		}
	}
	if t.b.o.Log != nil && m.Message != "" {
		t.b.o.Log(Line{t.repository, t.step, m.Level, m.ID, m.Message})
	}
}

func (t *talk) keep(m message) {
	switch m.Level {
	case "ERROR", "CRITICAL":
		if m.ID != "" {
			t.id = m.ID
		}
		if len(t.errors) < maxKept {
			t.errors = append(t.errors, m.Message)
		}
	case "WARNING":
		if len(t.warnings) < maxKept {
			t.warnings = append(t.warnings, m.Message)
		} else {
			t.dropped++
		}
	}
}

// because is what an error is explained with.
func (t *talk) because() []string {
	if len(t.errors) > 0 {
		return t.errors
	}
	return append(t.warnings, t.other...)
}

// clean makes one line of a text and takes the secret out of it.
func (t *talk) clean(text string) string {
	text = strings.TrimSpace(text)
	if t.secret != "" {
		text = strings.ReplaceAll(text, t.secret, "***")
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
