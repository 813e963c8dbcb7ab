package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong in a file.
type Mistake struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // 0: not known
	Key  string `json:"key,omitempty"`  // as in source.dir[0].name
	Text string `json:"text"`

	Other string `json:"other,omitempty"` // the key that it is about as well, where two have what one can have
}

func (m Mistake) Error() string {
	place := m.File
	if place == "" {
		place = "configuration"
	}
	if m.Line > 0 {
		place = fmt.Sprintf("%s:%d", place, m.Line)
	}
	if m.Key != "" {
		place += ": " + m.Key
	}
	return place + ": " + m.Text
}

// Mistakes are all that was found, in the order of the file; never empty where it is an error.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted puts those without a line last.
func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		if a.File == b.File && (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
	return m
}
