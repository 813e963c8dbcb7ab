package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"tresor/orchestrator/internal/statefile"
)

// KeepVersions is what the file KEEPVERSIONS says: how many versions of each machine this volume holds. 0: there is no such file. After an error nothing
// should be pruned by count: the file may have allowed more than the configuration does.
func (f *Folder) KeepVersions() (int, error) {
	root, err := f.root()
	if err != nil {
		return 0, err
	}
	defer root.Close() // nothing is written through it
	text, err := statefile.Read(root, keepFile, maxKeep)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("limit of %s: %w", f.dir, err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		value, ok := strings.CutPrefix(strings.TrimPrefix(line, "let "), keepKey+"=")
		if comment := strings.IndexAny(value, " \t"); comment >= 0 && strings.HasPrefix(strings.TrimLeft(value[comment:], " \t"), "#") {
			value = value[:comment]
		}
		if ok {
			n, err = strconv.Atoi(strings.Trim(value, `"'`))
		}
		if !ok || err != nil || n < 1 {
			return 0, fmt.Errorf("limit of %s: %s: have the line %q, want %s=NUMBER", f.dir, keepFile, line, keepKey)
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("limit of %s: %s: have no limit in it, want a line %s=NUMBER", f.dir, keepFile, keepKey)
	}
	return n, nil
}

// SetKeepVersions writes the file KEEPVERSIONS, with 0 it removes it.
func (f *Folder) SetKeepVersions(n int) (err error) {
	if n < 0 {
		return fmt.Errorf("limit of %s: have %d versions, want 1 or more, or 0 for no limit of its own", f.dir, n)
	}
	root, err := f.root()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if n == 0 {
		err = statefile.Remove(root, keepFile)
	} else {
		err = statefile.Replace(root, keepFile, 0o644, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s=%d\n", keepKey, n)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("limit of %s: %w", f.dir, err)
	}
	return nil
}
