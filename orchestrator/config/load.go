package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/BurntSushi/toml"
)

// DefaultFile is where the service looks.
const DefaultFile = "/etc/tresor/tresor.toml"

// Outside is what Load needs from others.
type Outside struct {
	// Calendar checks an expression of the schedule; nil: any that is not empty will do.
	Calendar func(expression string) error
	// Credentials is the value of $CREDENTIALS_DIRECTORY.
	Credentials string
	// NoSecrets leaves the files of secrets alone, and the secrets empty.
	NoSecrets bool
}

// Load reads, checks and completes a file. The error is of type Mistakes where the content is wrong.
func Load(file string, o Outside) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(file, text, o)
}

// Parse is Load of a text; file is for messages.
func Parse(file string, text []byte, o Outside) (*Config, error) {
	return parse(file, text, o, locate)
}

// parse is Parse with somebody who knows the lines.
func parse(file string, text []byte, o Outside, locate func(string) map[string]int) (*Config, error) {
	tree := map[string]any{}
	if _, err := toml.Decode(string(text), &tree); err != nil {
		return nil, Mistakes{syntaxMistake(file, err)}
	}
	c := Default()
	c.File = file
	k := &checker{c: c, out: o, lines: locate(string(text)), set: map[string]bool{}}
	k.bindRoot(tree)
	k.check()
	if len(k.mistakes) == 0 && !o.NoSecrets {
		k.readSecrets()
	}
	if len(k.mistakes) > 0 {
		return nil, k.mistakes.sorted()
	}
	slices.SortStableFunc(k.notes, func(a, b Note) int { return cmp.Compare(a.Line, b.Line) })
	c.notes = k.notes
	return c, nil
}

// syntaxMistake is a text that is no TOML: the parser stops at the first place that it does not understand.
func syntaxMistake(file string, err error) Mistake {
	m := Mistake{File: file, Text: "no TOML: " + err.Error()}
	var parse toml.ParseError
	if errors.As(err, &parse) {
		m.Line, m.Text = parse.Position.Line, "no TOML: "+parse.Message
	}
	return m
}
