package borg

import (
	"os"
	"path/filepath"
	"strings"
)

// known tells whether borg used a repository at this address before, by the notes that it keeps of all it has seen (its security directory). That the
// notes cannot be read means that there are none.
func (b *Borg) known(r Repository) bool {
	for _, dir := range b.configs() {
		notes, err := filepath.Glob(filepath.Join(escape(dir), "borg", "security", "*", "location"))
		if err != nil {
			continue
		}
		for _, n := range notes {
			if text, err := os.ReadFile(n); err == nil && canonical(strings.TrimSpace(string(text))) == canonical(r.URL) {
				return true
			}
		}
	}
	return false
}

// configs are the directories where borg may have its settings.
func (b *Borg) configs() (list []string) {
	if b.o.Base != "" {
		list = append(list, filepath.Join(b.o.Base, ".config"))
	}
	for _, pair := range b.o.Environ {
		switch name, value, _ := strings.Cut(pair, "="); {
		case name == "XDG_CONFIG_HOME" && value != "":
			list = append(list, value)
		case name == "HOME" && value != "" && b.o.Base == "":
			list = append(list, filepath.Join(value, ".config"))
		}
	}
	return list
}

// escape makes a path a pattern for itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// canonical is one way to write an address: host:path is ssh://host/path, or ssh://host/./path if it is relative.
func canonical(url string) string {
	if rest, ok := strings.CutPrefix(url, "ssh://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		return "ssh://" + host + "/" + strings.TrimRight(path, "/")
	}
	if (Repository{URL: url}).remote() {
		host, path, _ := strings.Cut(url, ":")
		if absolute, ok := strings.CutPrefix(path, "/"); ok {
			return canonical("ssh://" + host + "/" + absolute)
		}
		return canonical("ssh://" + host + "/./" + path)
	}
	return filepath.Clean(strings.TrimPrefix(url, "file://"))
}
