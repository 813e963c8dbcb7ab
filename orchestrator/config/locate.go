package config

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// The parser of the library accepts or refuses a text but does not tell where a key stands. locate does, for a text that was accepted: it knows just
// enough of the grammar to walk over values. A fuzz test holds its keys against the library's.

// locate returns the line of every key and table, by path.
func locate(text string) map[string]int {
	text = strings.TrimPrefix(text, "\xef\xbb\xbf")
	s := &scanner{text: text, line: 1, lines: map[string]int{}, arrays: map[string]int{}}
	s.document()
	return s.lines
}

// join makes the path of a key in a table.
func join(table, key string) string {
	quoted := toml.Key{key}.String()
	if table == "" {
		return quoted
	}
	return table + "." + quoted
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

type scanner struct {
	text   string
	pos    int
	line   int
	lines  map[string]int
	arrays map[string]int // how many tables a list of tables has so far
}

// note keeps the first line of a path: that of the table, where keys of it follow.
func (s *scanner) note(path string, line int) {
	if _, known := s.lines[path]; !known {
		s.lines[path] = line
	}
}

func (s *scanner) peek() byte {
	if s.pos >= len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

func (s *scanner) more() bool { return s.pos < len(s.text) }

func (s *scanner) starts(prefix string) bool { return strings.HasPrefix(s.text[s.pos:], prefix) }

// skip goes over n bytes and counts lines.
func (s *scanner) skip(n int) {
	end := min(s.pos+n, len(s.text))
	s.line += strings.Count(s.text[s.pos:end], "\n")
	s.pos = end
}

// blanks goes over blanks, and with lines over line ends and comments.
func (s *scanner) blanks(lines bool) {
	for s.more() {
		switch c := s.peek(); {
		case c == ' ' || c == '\t', lines && (c == '\n' || c == '\r'):
			s.skip(1)
		case lines && c == '#':
			s.toLineEnd()
		default:
			return
		}
	}
}

func (s *scanner) toLineEnd() {
	n := strings.IndexByte(s.text[s.pos:], '\n')
	if n < 0 {
		n = len(s.text) - s.pos
	}
	s.skip(n)
}

func (s *scanner) document() {
	table := ""
	for {
		s.blanks(true)
		before := s.pos
		switch {
		case !s.more():
			return
		case s.starts("[["):
			s.skip(2)
			table = s.header(true)
		case s.peek() == '[':
			s.skip(1)
			table = s.header(false)
		default:
			s.pair(table)
		}
		if s.pos == before { // not a text that the library accepts
			return
		}
	}
}

// header reads what stands in the brackets of a table and returns its path.
func (s *scanner) header(list bool) string {
	line, keys, path := s.line, s.key(), ""
	for i, key := range keys {
		path = join(path, key)
		if list && i == len(keys)-1 {
			s.note(path, line)
			s.arrays[path]++
		}
		if n := s.arrays[path]; n > 0 {
			path = index(path, n-1)
		}
		s.note(path, line)
	}
	s.toLineEnd()
	return path
}

// pair reads key = value.
func (s *scanner) pair(table string) {
	line, path := s.line, table
	for _, key := range s.key() {
		path = join(path, key)
		s.note(path, line)
	}
	if s.blanks(false); s.peek() == '=' {
		s.skip(1)
	}
	s.blanks(false)
	s.value(path)
}

// key reads the parts of a dotted key.
func (s *scanner) key() (parts []string) {
	for {
		s.blanks(false)
		switch c := s.peek(); c {
		case '"', '\'':
			parts = append(parts, unquote(s.quoted(string(c))))
		default:
			start := s.pos
			for s.more() && !strings.ContainsRune(" \t.=]\r\n#", rune(s.peek())) {
				s.skip(1)
			}
			parts = append(parts, s.text[start:s.pos])
		}
		s.blanks(false)
		if s.peek() != '.' {
			return parts
		}
		s.skip(1)
	}
}

// unquote gives a quoted key to the library, which knows all escapes.
func unquote(quoted string) string {
	var v struct{ K string }
	if _, err := toml.Decode("K = "+quoted, &v); err != nil {
		return quoted
	}
	return v.K
}

// quoted goes over a string with its quotes and returns it.
func (s *scanner) quoted(quote string) string {
	start := s.pos
	s.skip(len(quote))
	for s.more() {
		switch {
		case quote[0] == '"' && s.peek() == '\\':
			s.skip(2)
		case s.starts(quote):
			s.skip(len(quote))
			for len(quote) == 3 && s.peek() == quote[0] { // up to two quotes may stand before the closing three
				s.skip(1)
			}
			return s.text[start:s.pos]
		default:
			s.skip(1)
		}
	}
	return s.text[start:]
}

func (s *scanner) value(path string) {
	switch c := s.peek(); {
	case s.starts(`"""`), s.starts(`'''`):
		s.quoted(s.text[s.pos : s.pos+3])
	case c == '"' || c == '\'':
		s.quoted(string(c))
	case c == '[':
		s.list(path)
	case c == '{':
		s.inline(path)
	default:
		for s.more() && !strings.ContainsRune(",]}#\n", rune(s.peek())) {
			s.skip(1)
		}
	}
}

func (s *scanner) list(path string) {
	s.skip(1)
	for i := 0; ; i++ {
		s.blanks(true)
		if !s.more() || s.peek() == ']' {
			s.skip(1)
			return
		}
		s.note(index(path, i), s.line)
		before := s.pos
		s.value(index(path, i))
		if s.blanks(true); s.peek() == ',' {
			s.skip(1)
		}
		if s.pos == before {
			return
		}
	}
}

func (s *scanner) inline(path string) {
	s.skip(1)
	for {
		s.blanks(true)
		if !s.more() || s.peek() == '}' {
			s.skip(1)
			return
		}
		before := s.pos
		s.pair(path)
		if s.blanks(true); s.peek() == ',' {
			s.skip(1)
		}
		if s.pos == before {
			return
		}
	}
}
