package tresor

import (
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// briefLimit is how many letters of an error a list shows; the log and --json have all of it.
const briefLimit = 180

// brief is an error for a list: where it happened, and why. Each layer of a program says the path again; what names nothing new is left out, and of what is
// too long still the middle goes.
func brief(text string) string {
	parts := strings.Split(shown(text), ": ")
	kept := slices.Clone(parts[:1])
	for i, part := range parts[1:] {
		last := i == len(parts)-2
		if !last && repeats(part, kept) {
			continue
		}
		kept = append(kept, part)
	}
	out := strings.Join(kept, ": ")
	if utf8.RuneCountInString(out) <= briefLimit {
		return out
	}
	const tail = briefLimit / 2 // the cause stands at the end
	r := []rune(out)
	return string(r[:briefLimit-tail-3]) + " … " + string(r[len(r)-tail:])
}

// repeats tells whether a part of an error has a path, and says of it nothing but what the parts before have said.
func repeats(part string, before []string) bool {
	paths := 0
	for _, word := range strings.Fields(part) {
		word = strings.Trim(word, `"'`)
		if !strings.Contains(word, "/") {
			continue
		}
		paths++
		name := path.Base(word)
		known := false
		for _, b := range before {
			known = known || strings.Contains(b, "/"+name)
		}
		if !known {
			return false
		}
	}
	return paths > 0
}

// adviceFor is what to do about an error that has no hint of its own; empty: there is nothing to be said that is true for all.
func adviceFor(text string) string {
	for _, a := range []struct{ sign, advice string }{
		{"no free block left", "`tresor prune --dry-run` shows what the rules would free; or keep fewer versions (retention.volume_versions), or take a larger disk"},
		{"no space left on device", "`tresor prune --dry-run` shows what the rules would free; or keep fewer versions (retention.volume_versions), or take a larger disk"},
		{"disk quota exceeded", "the quota of the disk is used up: raise it, or keep fewer versions (retention.volume_versions)"},
		{"input/output error", "look at the disk (dmesg, smartctl); `tresor verify --all` proves what is on it"},
		{"read-only file system", "the disk has turned read-only, mostly after an error: look at dmesg, then `tresor switch` to another one"},
		{"is not in the configuration any more", "put the machine back into the configuration, or `tresor jobs drop ID`"},
	} {
		if strings.Contains(text, a.sign) {
			return a.advice
		}
	}
	return ""
}
