package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// value is one line `name  value` of a statistics file or report (format page, section 8).
type value struct{ Name, Text string }

// values keep the order of the lines. No name comes twice: the original calls both the hash function and the count of
// hashed blocks `hash`, and the second of two is named NAME_count here.
type values []value

// parseValues reads the lines; what has no value is left out.
func parseValues(text string) values {
	var list values
	seen := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		name := strings.TrimRight(f[0], ":")
		for seen[name] {
			name += "_count"
		}
		seen[name] = true
		list = append(list, value{Name: name, Text: strings.Join(f[1:], " ")})
	}
	return list
}

// number is the value as JSON and Prometheus write it; a percent sign is dropped.
func (v value) number() (string, bool) {
	text := strings.TrimSpace(strings.TrimSuffix(v.Text, "%"))
	if _, err := strconv.ParseFloat(text, 64); err != nil || !json.Valid([]byte(text)) {
		return "", false
	}
	return text, true
}

// MarshalJSON writes one object, numbers as numbers and the rest as text.
func (l values) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, v := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(v.Name)
		if err != nil {
			return nil, err
		}
		var content any = v.Text
		if n, ok := v.number(); ok {
			content = json.Number(n)
		}
		text, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:%s", name, text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// prometheus writes the values in Prometheus' text format: one metric ddumbfs_NAME a number, and what is text as labels of
// ddumbfs_info.
func (l values) prometheus(w io.Writer, parent string) error {
	var b bytes.Buffer
	volume := "volume=" + label(parent)
	info := []string{volume}
	for _, v := range l {
		name := metricName(v.Name)
		n, ok := v.number()
		if !ok {
			info = append(info, name+"="+label(v.Text))
			continue
		}
		fmt.Fprintf(&b, "# TYPE ddumbfs_%s untyped\nddumbfs_%s{%s} %s\n", name, name, volume, n)
	}
	fmt.Fprintf(&b, "# TYPE ddumbfs_info gauge\nddumbfs_info{%s} 1\n", strings.Join(info, ","))
	_, err := w.Write(b.Bytes())
	return err
}

func metricName(s string) string {
	return regexp.MustCompile(`[^a-zA-Z0-9_]`).ReplaceAllString(s, "_")
}

// label quotes a label's value; Prometheus knows these three escapes.
func label(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
