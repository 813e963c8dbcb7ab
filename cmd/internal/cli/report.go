package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
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
func oneLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return strings.NewReplacer("\n", "; ", "\r", " ").Replace(s)
}

// JSON writes a result as one indented JSON document.
func JSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
