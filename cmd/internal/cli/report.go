package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Report writes err in the form that all commands share: `ddumbfs VERB: message` and, where there is advice, a line
// `hint: ...`. Nothing is written for nil or for an error without words.
func Report(w io.Writer, verb string, err error) { ReportFor(w, "ddumbfs", verb, err) }

// ReportFor is Report for another program.
func ReportFor(w io.Writer, program, verb string, err error) {
	if err == nil {
		return
	}
	if msg := oneLine(err.Error()); msg != "" {
		fmt.Fprintf(w, "%s: %s\n", title(program, verb), msg)
	}
	if hint := oneLine(HintOf(err)); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// Note writes a message that is no error in the same form.
func Note(w io.Writer, verb, text string, args ...any) {
	fmt.Fprintf(w, "%s: %s\n", title("ddumbfs", verb), oneLine(fmt.Sprintf(text, args...)))
}

func title(program, verb string) string {
	if verb == "" {
		return program
	}
	return program + " " + verb
}

// oneLine keeps a message on one line, so that scripts can read errors line by line and a file name with a newline
// cannot forge a message.
func oneLine(s string) string { return Shown(s) }

// Shown is a text in one line, in which everything that a terminal would obey is spelled out: names of files and answers of other programs are shown,
// and do nothing.
func Shown(text string) string {
	text = strings.TrimRight(text, "\r\n")
	ok := func(r rune) bool { return unicode.IsGraphic(r) && r != utf8.RuneError }
	if !strings.ContainsFunc(text, func(r rune) bool { return !ok(r) }) {
		return text
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case r == '\n':
			b.WriteString("; ")
		case r == '\t' || r == '\r':
			b.WriteByte(' ')
		case ok(r):
			b.WriteString(rest[:n])
		case n == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		rest = rest[n:]
	}
	return b.String()
}

// JSON writes a result as one indented JSON document.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
