package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ImportOptions say what is imported.
type ImportOptions struct {
	Dir      string // of the predecessor's files
	Fstab    string // file with the disks; empty: none
	Crypttab string
	Secrets  string // absolute directory where files of secrets will be
}

// Remark is one line of the report of an import.
type Remark struct {
	Kind string `json:"kind"` // dropped, unknown, warning, note
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

func (r Remark) String() string {
	place := r.File
	if r.Line > 0 {
		place = fmt.Sprintf("%s:%d", place, r.Line)
	}
	if place != "" {
		place += ": "
	}
	return r.Kind + ": " + place + r.Text
}

// SecretText is a secret and the file that it belongs in.
type SecretText struct {
	File   string `json:"file"`
	Secret Secret `json:"secret"`
}

// Imported is what became of the predecessor's files. Nothing has been written.
type Imported struct {
	Config  *Config
	Text    []byte // of the file
	Secrets []SecretText
	Report  []Remark
}

// importer is one import.
type importer struct {
	o        ImportOptions
	c        *Config
	out      Imported
	mistakes Mistakes
	origin   map[string]assigned // key of ours to the value and line that it came from
	where    map[string]string   // and its file
}

const mainFile = "AmutaQ!.conf"

// maxLegacy is more than any of these files has.
const maxLegacy = 1 << 20

// Import reads the predecessor's files. The error is of type Mistakes where their content is wrong; then nothing was imported.
func Import(o ImportOptions) (*Imported, error) {
	m := &importer{o: o, c: Default(), origin: map[string]assigned{}, where: map[string]string{}}
	servers, err := m.mainFiles()
	if err != nil {
		return nil, err
	}
	m.servers(servers)
	m.global(merged(m, servers))
	steps := []func() error{m.machines, m.mail, m.controlInterface, m.restore, m.disks, m.leftovers}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	m.out.Config, m.out.Text = m.c, Render(m.c)
	m.prove()
	if len(m.mistakes) > 0 {
		return nil, m.mistakes.sorted()
	}
	return &m.out, nil
}

// prove parses what was made, as the service will; what is wrong in it is told with the place that it came from.
func (m *importer) prove() {
	c, err := Parse("", m.out.Text, Outside{NoSecrets: true})
	var wrong Mistakes
	if errors.As(err, &wrong) {
		for _, w := range wrong {
			at := w.Key
			for at != "" && m.where[at] == "" {
				at = at[:max(strings.LastIndexAny(at, ".["), 0)]
			}
			m.mistakes = append(m.mistakes, Mistake{File: m.where[at], Line: m.origin[at].line, Key: w.Key, Text: w.Text})
		}
		return
	}
	for _, n := range c.Notes() {
		m.remark("note", "", 0, "%s", n.Text)
	}
}

func (m *importer) remark(kind, file string, line int, format string, args ...any) {
	m.out.Report = append(m.out.Report, Remark{kind, file, line, fmt.Sprintf(format, args...)})
}

func (m *importer) wrong(f *shellFile, key, format string, args ...any) {
	m.mistakes = append(m.mistakes, Mistake{File: f.name, Line: f.values[key].line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// came notes where a key of ours comes from; an empty place is none.
func (m *importer) came(place string, f *shellFile, key string) {
	if place != "" {
		m.origin[place], m.where[place] = f.values[key], f.name
	}
}

// read parses one file and reports its keys that are dropped or not known. A file that is not there is nil.
func (m *importer) read(name, kind string) (*shellFile, error) {
	file := filepath.Join(m.o.Dir, name)
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxLegacy {
		return nil, fmt.Errorf("import %s: want a file of at most %d bytes, found %s of %d", file, maxLegacy, info.Mode(), info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	f, mistakes := parseShell(file, string(text))
	m.mistakes = append(m.mistakes, mistakes...)
	for _, s := range f.sources {
		m.remark("note", file, s.line, "source %s: not followed", s.value)
	}
	for _, key := range f.order {
		known, ok := legacyKey(kind, key)
		switch {
		case !ok:
			m.remark("unknown", file, f.values[key].line, "%s: no key of the predecessor", key)
		case known.Place == "":
			m.remark("dropped", file, f.values[key].line, "%s: %s", key, known.Why)
		}
	}
	return f, nil
}

// mainFiles reads .conf.0, .conf.1 and so on, in numeric order, or the plain file where there is no .conf.0.
func (m *importer) mainFiles() (files []*shellFile, err error) {
	entries, err := os.ReadDir(m.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	var numbers []int
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), mainFile+".")
		if n, err := strconv.Atoi(rest); ok && err == nil && n >= 0 && strconv.Itoa(n) == rest {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	names := []string{mainFile}
	if len(numbers) > 0 && numbers[0] == 0 {
		names = nil
		for _, n := range numbers {
			names = append(names, mainFile+"."+strconv.Itoa(n))
		}
		m.remark("note", filepath.Join(m.o.Dir, mainFile), 0, "not read: with %s.0 it is a copy of the server whose turn it was", mainFile)
	} else if len(numbers) > 0 {
		m.remark("warning", filepath.Join(m.o.Dir, fmt.Sprintf("%s.%d", mainFile, numbers[0])), 0, "not read: without %s.0 there is one server", mainFile)
	}
	for _, name := range names {
		f, err := m.read(name, legacyMain)
		if err != nil {
			return nil, err
		}
		if f == nil {
			return nil, fmt.Errorf("import: %s: there is neither this file nor %s.0: want the predecessor's etc directory", filepath.Join(m.o.Dir, mainFile), mainFile)
		}
		files = append(files, f)
	}
	return files, nil
}

// perServer are keys that each server has; the second kind may differ and is an override then.
func perServer(key string) (own, override bool) {
	return slices.Contains([]string{"VMUSER", "VMPASSWORD", "VMHOST", "VMLIST", "BACKUPNETWORK_IP", "BACKUPTOOL"}, key),
		slices.Contains([]string{"KEEPVERSIONS", "PARANOIAMODE", "KEEPVERSIONSONFINALTARGET"}, key)
}

// merged is the file of the first server, after a look at where the others differ. A key that is set in one of two files only counts as different.
func merged(m *importer, files []*shellFile) *shellFile {
	first := files[0]
	for _, f := range files[1:] {
		keys := slices.Clone(f.order)
		for _, key := range first.order {
			if _, both := f.values[key]; !both {
				keys = append(keys, key)
			}
		}
		for _, key := range keys {
			own, override := perServer(key)
			known, ok := legacyKey(legacyMain, key)
			a, inFirst := first.values[key]
			b, inOther := f.values[key]
			if own || override || !ok || known.Place == "" || inFirst == inOther && a.value == b.value {
				continue
			}
			m.remark("warning", f.name, b.line, "%s: %s here and %s in %s; the latter is taken", key, described(b, inOther), described(a, inFirst), first.name)
		}
	}
	return first
}

func described(a assigned, set bool) string {
	if !set {
		return "not set"
	}
	return strconv.Quote(a.value)
}

var fileLetters = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// keepSecret puts a secret into a file of its own and returns its name.
func (m *importer) keepSecret(name, text string) string {
	file := filepath.Join(m.o.Secrets, fileLetters.ReplaceAllString(name, "_")+".secret")
	for slices.ContainsFunc(m.out.Secrets, func(s SecretText) bool { return s.File == file }) {
		file = strings.TrimSuffix(file, ".secret") + "_.secret"
	}
	if text != "" {
		m.out.Secrets = append(m.out.Secrets, SecretText{file, NewSecret(text)})
	}
	return file
}
