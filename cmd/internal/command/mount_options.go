package command

import "strings"

// mountOptions are the words of -o, sorted by who is to obey them.
type mountOptions struct {
	parent   string   // value of parent=
	readOnly bool     // the last of ro and rw
	kernel   []string // flags of the mount, for the FUSE library
	own      []string // everything else: options of ddumbfs and of FUSE
}

// Options of mount(8) and fstab(5). mount(8) hands all of them to a helper, whoever they are for.
const (
	kernelOptions = " suid nosuid dev nodev exec noexec sync async dirsync atime noatime diratime nodiratime " +
		"relatime norelatime strictatime nostrictatime lazytime nolazytime symfollow nosymfollow "
	userOptions = " defaults auto noauto user nouser users owner group _netdev nofail mand nomand loud silent quiet " +
		"iversion noiversion "
	userPrefixes = "x- X- comment= user= uhelper= helper= pref= "
)

// sortMountOptions takes the values of all -o. Options for mount(8), the boot scripts and the desktop are dropped.
func sortMountOptions(lists []string) mountOptions {
	var m mountOptions
	for _, list := range lists {
		for _, option := range splitOptions(list) {
			m.add(option)
		}
	}
	return m
}

func (m *mountOptions) add(option string) {
	word := " " + option + " "
	switch {
	case option == "":
	case option == "ro" || option == "rw":
		m.readOnly = option == "ro"
	case strings.HasPrefix(option, "parent="):
		m.parent = unescapeOption(strings.TrimPrefix(option, "parent="))
	case strings.Contains(kernelOptions, word):
		m.kernel = append(m.kernel, option)
	case strings.Contains(userOptions, word) || hasAnyPrefix(option, strings.Fields(userPrefixes)):
	default:
		m.own = append(m.own, option)
	}
}

// withoutParent splits a list and leaves parent= out.
func withoutParent(list string) []string {
	var out []string
	for _, option := range splitOptions(list) {
		if option != "" && !strings.HasPrefix(option, "parent=") {
			out = append(out, option)
		}
	}
	return out
}

// splitOptions splits at commas. As in libfuse, a backslash keeps the next character from meaning anything, so that a
// path may hold a comma; the words keep their backslashes.
func splitOptions(list string) []string {
	var words []string
	start := 0
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '\\':
			i++
		case ',':
			words = append(words, list[start:i])
			start = i + 1
		}
	}
	return append(words, list[start:])
}

func unescapeOption(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
