package command

import "strings"

// Options of mount(8) and fstab(5) that are for neither the file system nor its parser (fs.Options.ParseMount). mount(8)
// hands all of them to a helper, whoever they are for.
const (
	// userOptions are for mount(8), the boot scripts and the desktop.
	userOptions = " defaults auto noauto user nouser users owner group _netdev nofail mand nomand loud silent quiet " +
		"iversion noiversion "
	userPrefixes = "x- X- comment= user= uhelper= helper= pref= "
	// kernelOptions are flags of the mount itself.
	kernelOptions = " norelatime nostrictatime lazytime nolazytime symfollow nosymfollow "
)

// sortMountOptions takes the values of all -o, drops what is for mount(8) and others, and returns what the kernel is to
// obey and what is left to the option parser.
func sortMountOptions(lists []string) (kernel, own []string) {
	for _, list := range lists {
		for _, option := range splitOptions(list) {
			word := " " + option + " "
			switch {
			case option == "":
			case strings.Contains(userOptions, word) || hasAnyPrefix(option, strings.Fields(userPrefixes)):
			case strings.Contains(kernelOptions, word):
				kernel = append(kernel, option)
			default:
				own = append(own, option)
			}
		}
	}
	return kernel, own
}

// withoutParent splits the value of one -o and leaves parent= out.
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

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
