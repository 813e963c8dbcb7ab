package format

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// maxConfigSize bounds what ParseConfig looks at, in bytes. A real one has
// about 500, two long paths included at most 9000.
const maxConfigSize = 64 << 10

// ConfigError says what is wrong in a configuration. It is of class ErrCorrupt.
type ConfigError struct {
	Path string // of the configuration; empty when it was not read from a file
	Line int    // from 1; 0 where the error has no line
	Key  string // empty where the error concerns no single key
	Want string
	Have string
}

// Error names path, line, key, and what was wanted and found.
func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("configuration")
	if e.Path != "" {
		b.WriteString(" " + e.Path)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, " line %d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(", " + e.Key)
	}
	fmt.Fprintf(&b, ": want %s, have %s", e.Want, e.Have)
	return b.String()
}

// Is makes every ConfigError one of class ErrCorrupt.
func (e *ConfigError) Is(target error) bool { return target == ErrCorrupt }

// ParseConfig reads the text of a ddfs.cfg and checks it as a whole; path is
// used in errors only. Unknown keys and blank lines are ignored. Errors are
// *ConfigError (class ErrCorrupt), or of class ErrUnsupported where the text is
// sound and names a hash function that this program does not know.
func ParseConfig(path string, data []byte) (*Config, error) {
	if len(data) > maxConfigSize {
		return nil, &ConfigError{Path: path, Want: fmt.Sprintf("at most %d bytes", maxConfigSize),
			Have: strconv.Itoa(len(data))}
	}
	p := parser{
		c:     &Config{AutoBufferFlush: DefaultAutoBufferFlush, AutoSync: DefaultAutoSync, RootDirectory: RootName},
		lines: map[string]int{},
	}
	err := p.parse(data)
	if err == nil {
		err = p.c.validate()
	}
	if err == nil {
		return p.c, nil
	}
	if c, ok := err.(*ConfigError); ok {
		c.Path = path
		if c.Line == 0 {
			c.Line = p.lines[c.Key]
		}
		return nil, c
	}
	return nil, fmt.Errorf("configuration %s line %d: %w", path, p.lines["hash"], err)
}

// parser collects the values and the line on which each key stood.
type parser struct {
	c     *Config
	lines map[string]int
}

// parse reads all lines and reports what is missing. Its errors are *ConfigError.
func (p *parser) parse(data []byte) error {
	all := fields()
	known := make(map[string]*field, len(all))
	for i := range all {
		known[all[i].key] = &all[i]
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if err := p.line(known, number, trim(string(line))); err != nil {
			return err
		}
	}
	for _, f := range all {
		if p.lines[f.key] == 0 && !f.optional {
			return &ConfigError{Key: f.key, Want: "a line with this key", Have: "none"}
		}
	}
	return nil
}

// line takes one trimmed line.
func (p *parser) line(known map[string]*field, number int, line string) error {
	if line == "" {
		return nil
	}
	key, value, ok := strings.Cut(line, ":")
	if !ok {
		return &ConfigError{Line: number, Want: `"key: value"`, Have: quote(line)}
	}
	key, value = trim(key), trim(value)
	f := known[key]
	if f == nil {
		return nil
	}
	if first := p.lines[key]; first != 0 {
		return &ConfigError{Line: number, Key: key, Want: "the key once",
			Have: fmt.Sprintf("it again, first on line %d", first)}
	}
	p.lines[key] = number
	if want := f.set(p.c, value); want != "" {
		return &ConfigError{Line: number, Key: key, Want: want, Have: quote(value)}
	}
	return nil
}

// trim removes the white space that the original removes, and no other.
func trim(s string) string { return strings.Trim(s, " \t\r\n\v\f") }

// quote is strconv.Quote with a bound on the length.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
