// Package mountinfo reads the mount table of this process.
package mountinfo

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Mount is one line of the mount table.
type Mount struct {
	Point    string // where
	ReadOnly bool   // this mount; the file system may be mounted elsewhere for writing
	Device   string // major:minor of the file system
	Root     string // the directory of the file system that stands at Point
	Kind     string // file system type
	Source   string // device, export, or whatever a file system calls itself
}

// Current is the table now, in the order of mounting.
func Current() ([]Mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	return Parse(string(text))
}

// Parse reads /proc/self/mountinfo. Words end with one blank and nothing else: names may have what is a blank to Unicode, and the last but one may be
// empty. The third word is the device, the fourth the root, the fifth the mount point, the sixth its options; behind a lone hyphen stand type and source.
// Blanks, tabs, line ends and backslashes are three octal digits behind a backslash there.
func Parse(text string) (list []Mount, err error) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(f) < 6 {
			return nil, fmt.Errorf("read the mount table: line %q has %d words, want at least 6", line, len(f))
		}
		m := Mount{Point: unescape(f[4]), ReadOnly: slices.Contains(strings.Split(f[5], ","), "ro"), Device: f[2], Root: unescape(f[3])}
		if i := slices.Index(f, "-"); i >= 6 && len(f) > i+2 {
			m.Kind, m.Source = f[i+1], unescape(f[i+2])
		}
		list = append(list, m)
	}
	return list, nil
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
