package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The predecessor's files are read by a shell. We take the assignments in them and nothing that would have to be executed.

// assigned is a value and the line that set it.
type assigned struct {
	value string
	line  int
}

// shellFile is what is assigned in one file; of several assignments to a key the last counts.
type shellFile struct {
	name    string
	values  map[string]assigned
	order   []string // keys, as they came first
	sources []assigned
}

func (f *shellFile) get(key string) string { return f.values[key].value }

var (
	shellAssignment = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)
	shellSource     = regexp.MustCompile(`^source\s+(\S.*)$`)
	shellNumber     = regexp.MustCompile(`^[+-]?[0-9]+$`)
	shellWord       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)
	shellName       = regexp.MustCompile(`^(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))`)
)

// parseShell reads a file. Every line that is not understood is a mistake; the others are read nevertheless.
func parseShell(name, text string) (*shellFile, Mistakes) {
	f := &shellFile{name: name, values: map[string]assigned{}}
	var mistakes Mistakes
	for i, line := range strings.Split(strings.TrimPrefix(text, "\xef\xbb\xbf"), "\n") {
		if err := f.line(i+1, strings.TrimSuffix(line, "\r")); err != nil {
			mistakes = append(mistakes, Mistake{File: name, Line: i + 1, Text: err.Error()})
		}
	}
	return f, mistakes
}

func (f *shellFile) line(number int, line string) error {
	if !utf8.ValidString(line) {
		return fmt.Errorf("want UTF-8, found %q (iconv -f latin1 -t utf8 converts older files)", line)
	}
	line = strings.Trim(line, " \t")
	if line == "" || line[0] == '#' {
		return nil
	}
	if m := shellSource.FindStringSubmatch(line); m != nil {
		f.sources = append(f.sources, assigned{m[1], number})
		return nil
	}
	rest, let := strings.CutPrefix(line, "let ")
	m := shellAssignment.FindStringSubmatch(strings.TrimLeft(rest, " \t"))
	if m == nil {
		return fmt.Errorf("want KEY=VALUE, found %s: files are not executed", beginning(line))
	}
	value, err := f.value(m[2])
	if err == nil && let && !shellNumber.MatchString(value) {
		err = fmt.Errorf("want a number after let, found %q: nothing is calculated", value)
	}
	if err != nil && secretive(m[1]) {
		return fmt.Errorf("%s: the value, which is not shown, is not one word or one quoted string; single quotes take everything but themselves", m[1])
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m[1], err)
	}
	if _, again := f.values[m[1]]; !again {
		f.order = append(f.order, m[1])
	}
	f.values[m[1]] = assigned{value, number}
	return nil
}

// secretive tells whether the value of a key may be a password: of one that we do not know nobody can say.
func secretive(key string) bool {
	return strings.Contains(strings.ToUpper(key), "PASS") || !slices.ContainsFunc(LegacyKeys(), func(k LegacyKey) bool { return k.Name == key })
}

// beginning is as much of a line as can be shown: behind it might be a password, and the whole line may be the rest of one. Only keys of the predecessor
// and words of a shell are no secret.
func beginning(line string) string {
	word := shellWord.FindString(line)
	if strings.HasPrefix(line, ". ") {
		word = "."
	}
	known := slices.ContainsFunc(LegacyKeys(), func(k LegacyKey) bool { return k.Name == word })
	if !known && !slices.Contains(strings.Fields("if then else elif fi for while until do done case esac function export declare local readonly unset set let eval "+
		"exec echo printf . test source trap shift return exit cd rm mv cp cat"), word) {
		return "a line that is none, and is not shown"
	}
	return fmt.Sprintf("a line that begins with %q", word)
}

// value reads what stands behind the equals sign.
func (f *shellFile) value(s string) (string, error) {
	var value, rest string
	var err error
	switch {
	case strings.HasPrefix(s, "'"):
		var closed bool
		if value, rest, closed = strings.Cut(s[1:], "'"); !closed {
			return "", fmt.Errorf("the quote ' is not closed on this line")
		}
	case strings.HasPrefix(s, `"`):
		value, rest, err = f.expand(s[1:], true)
	default:
		value, rest, err = f.expand(s, false)
	}
	if err != nil {
		return "", err
	}
	after := strings.TrimLeft(rest, " \t")
	if after == "" || after != rest && after[0] == '#' {
		return value, nil
	}
	return "", fmt.Errorf("want the end of the line or a comment behind the value, found %q", rest)
}

// expand reads a bare word, or up to the closing double quote, with $KEY and ${KEY} of keys that were set before. It returns what follows.
func (f *shellFile) expand(s string, quoted bool) (value, rest string, err error) {
	b := &strings.Builder{}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quoted && c == '"':
			return b.String(), s[i+1:], nil
		case !quoted && (c == ' ' || c == '\t'):
			return b.String(), s[i:], nil
		case c == '$':
			key, length, err := f.variable(s[i+1:])
			if err != nil {
				return "", "", err
			}
			b.WriteString(f.get(key))
			i += length
		case c == '`':
			return "", "", fmt.Errorf("command substitution with ` is not executed")
		case c == '\\' && quoted && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case !quoted && (strings.IndexByte("\\\"';&|<>()", c) >= 0 || c == '~' && i == 0):
			return "", "", fmt.Errorf("want a word without %q, or quotes around it", c)
		case c < 0x20 && c != '\t' || c == 0x7f:
			return "", "", fmt.Errorf("control character %q", c)
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", fmt.Errorf("the quote \" is not closed on this line")
	}
	return b.String(), "", nil
}

// variable reads the name of a key behind a dollar sign.
func (f *shellFile) variable(s string) (key string, length int, err error) {
	switch {
	case strings.HasPrefix(s, "(("):
		return "", 0, fmt.Errorf("arithmetic with $(( is not calculated")
	case strings.HasPrefix(s, "("):
		return "", 0, fmt.Errorf("command substitution with $( is not executed")
	}
	m := shellName.FindStringSubmatch(s)
	if m == nil {
		return "", 0, fmt.Errorf("want $KEY or ${KEY}, found $%s", s[:min(len(s), 20)])
	}
	key = m[1] + m[2]
	if _, known := f.values[key]; !known {
		return "", 0, fmt.Errorf("$%s is not set above this line", key)
	}
	return key, len(m[0]), nil
}
