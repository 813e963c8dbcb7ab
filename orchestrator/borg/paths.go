package borg

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/mountinfo"
)

// plan is how roots are named on borg's command line.
type plan struct {
	dir       string // working directory
	paths     []string
	exclude   []string
	oneSystem bool
}

// planPaths names the roots relative to a directory so that the archive has them under their names. Roots that have none in common (a snapshot and a
// directory) are named by their whole paths.
func planPaths(roots []orchestrator.Root) (plan, error) {
	table, err := mountinfo.Current()
	if err != nil {
		return plan{}, err
	}
	if len(roots) == 0 {
		return plan{}, errors.New("nothing to back up: no source is left")
	}
	p := plan{dir: commonBase(roots), oneSystem: true}
	for _, r := range roots {
		p.oneSystem = p.oneSystem && r.OneSystem
	}
	for _, r := range roots {
		if !filepath.IsAbs(r.Path) {
			return plan{}, fmt.Errorf("root %q: want an absolute path", r.Path)
		}
		name, err := filepath.Rel(p.dir, r.Path)
		if err != nil {
			return plan{}, fmt.Errorf("root %s: %w", r.Path, err)
		}
		p.paths = append(p.paths, name)
		for _, e := range r.Exclude {
			list, err := excludes(name, e)
			if err != nil {
				return plan{}, fmt.Errorf("root %s: %w", r.Path, err)
			}
			p.exclude = append(p.exclude, list...)
		}
		if r.OneSystem && !p.oneSystem {
			p.exclude = append(p.exclude, mountsBelow(p.dir, r.Path, table)...)
		}
	}
	return p, nil
}

// commonBase is the directory below which every root lies at its name; / if there is none.
func commonBase(roots []orchestrator.Root) string {
	base := ""
	for _, r := range roots {
		b, ok := strings.CutSuffix(filepath.Clean(r.Path), "/"+filepath.Clean(r.Name))
		if filepath.Clean(r.Name) == "." {
			b, ok = filepath.Clean(r.Path), true
		}
		if b == "" {
			b = "/"
		}
		if !ok || base != "" && b != base {
			return "/"
		}
		base = b
	}
	return base
}

// mountsBelow leaves out what is mounted in a root that stays on its file system, where borg's own option cannot be used: it holds for all roots.
func mountsBelow(dir, root string, table []mountinfo.Mount) (list []string) {
	for _, m := range table {
		if m.Point == root || !strings.HasPrefix(m.Point, strings.TrimSuffix(root, "/")+"/") {
			continue
		}
		if name, err := filepath.Rel(dir, m.Point); err == nil {
			if e := `re:^` + regexp.QuoteMeta(name) + `(?:/|\Z)`; !slices.Contains(list, e) {
				list = append(list, e)
			}
		}
	}
	return list
}

// excludes translates a pattern of path/filepath.Match, which is compared with the path relative to the root or, without a slash in it, with its last
// element, into a regular expression of borg, which is compared with the path in the archive.
func excludes(root, pattern string) ([]string, error) {
	pattern = strings.TrimSuffix(pattern, "/") // as the copier of jobs does
	body, err := translate(pattern)
	if err != nil {
		return nil, err
	}
	start := `re:^`
	if root != "." {
		start += regexp.QuoteMeta(root) + "/"
	}
	if !strings.Contains(pattern, "/") {
		start += `(?:.*/)?`
	}
	return []string{start + body + `(?:/|\Z)`}, nil
}

// translate makes a regular expression, of Go and of Python, of a pattern of path/filepath.Match.
func translate(pattern string) (string, error) {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" { // that of path/filepath does not look at all of it
		return "", fmt.Errorf("pattern %q of what is left out: want one of path/filepath.Match", pattern)
	}
	var b strings.Builder
	p := []rune(pattern)
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '*':
			b.WriteString(`[^/]*`)
		case '?':
			b.WriteString(`[^/]`)
		case '\\':
			i++
			b.WriteString(literal(p[i]))
		case '[':
			i = class(&b, p, i)
		default:
			b.WriteString(literal(p[i]))
		}
	}
	return b.String(), nil
}

// class writes the character class that begins at i and returns where it ends. The pattern is well-formed. A range that runs backwards holds nothing
// there, and is an error in regular expressions.
func class(b *strings.Builder, p []rune, i int) int {
	negated, ranges := false, ""
	if i++; p[i] == '^' {
		negated = true
		i++
	}
	one := func() rune {
		if p[i] == '\\' {
			i++
		}
		i++
		return p[i-1]
	}
	for first := true; first || p[i] != ']'; first = false {
		low := one()
		high := low
		if p[i] == '-' {
			i++
			high = one()
		}
		if low <= high {
			ranges += literal(low) + "-" + literal(high)
		}
	}
	switch {
	case ranges == "" && negated:
		b.WriteString(`[\s\S]`)
	case ranges == "":
		b.WriteString(`[^\s\S]`)
	case negated:
		b.WriteString("[^" + ranges + "]")
	default:
		b.WriteString("[" + ranges + "]")
	}
	return i
}

// literal is one character that means itself, also in a class.
func literal(r rune) string {
	if strings.ContainsRune(`\.+*?()|[]{}^$-&~#`, r) {
		return `\` + string(r)
	}
	return string(r)
}
