package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/verify"
)

// verifyTarget finds what the user named: a file in a mounted volume, an underlying file, or a file of a volume by its path below the parent
// directory (PARENT/dir/file for PARENT/ddfsroot/dir/file).
func verifyTarget(name string) (verify.Target, error) {
	list, err := index.Mounts()
	if err != nil {
		return verify.Target{}, err
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return verify.Target{}, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	if m := mountAround(list, path); m != nil && m.Volume() {
		rel := strings.TrimPrefix(strings.TrimPrefix(path, m.Point), "/")
		return storedFile(m.Source, m, filepath.Join(m.Root, rel))
	}
	p, err := index.Acquire(index.Location{Parent: path}, index.Read)
	if err != nil {
		return verify.Target{}, err
	}
	defer p.Close()
	rel := ""
	if below, ok := strings.CutPrefix(path, p.Root+"/"); ok {
		rel = below
	} else if below, ok := strings.CutPrefix(path, p.Dir+"/"); ok {
		rel = below
	}
	return storedFile(p.Dir, mountOf(list, p.Dir), rel)
}

// storedFile is the file rel of the volume parent, which is mounted as m if that is not nil.
func storedFile(parent string, m *index.Mount, rel string) (t verify.Target, err error) {
	p, err := index.Acquire(index.Location{Parent: parent}, index.Read)
	if err != nil {
		return t, err
	}
	defer p.Close()
	rel = strings.Trim(filepath.Clean("/"+rel), "/")
	if rel == "" || rel == format.SpecialName || strings.HasPrefix(rel, format.SpecialName+"/") {
		return t, cli.Usage(fmt.Errorf("%q is no file that the volume %s stores", rel, p.Dir))
	}
	if err := index.CheckUnfinished(p.FS, p.Dir); err != nil {
		return t, err
	}
	t = verify.Target{FS: p.FS, Geometry: p.Geometry, Blocks: p.BlocksPath, File: filepath.Join(p.Root, rel)}
	if m != nil {
		served, err := servedName(m, rel)
		if err != nil {
			return t, err
		}
		t.Refresh = func() error { return syncFile(served) }
		return t, nil
	}
	if open, err := mounted.Owned(p.Dir); err == nil && open {
		return t, format.Mark(format.ErrBusy, fmt.Errorf("volume %s: another process owns it", p.Dir))
	}
	return t, nil
}

// readIndex reads the index of the volume at rest that an underlying file lies in. The caller closes it.
func readIndex(underlying string) (*indexfile.File, error) {
	p, err := index.Acquire(index.Location{Parent: underlying}, index.Read)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true})
}

// servedName is the name in the mount of a file of the volume.
func servedName(m *index.Mount, rel string) (string, error) {
	below, ok := strings.CutPrefix("/"+rel, strings.TrimSuffix(m.Root, "/")+"/")
	if !ok {
		return "", fmt.Errorf("%q: only %s of the volume is mounted, on %s", rel, m.Root, m.Point)
	}
	return filepath.Join(m.Point, below), nil
}

// syncFile has the serving process store what it holds of a file.
func syncFile(name string) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	return errors.Join(f.Sync(), f.Close())
}

// verifyText prints what was found in a file.
func verifyText(w io.Writer, v *verified) error {
	var b strings.Builder
	one := func(what string, r *verify.Report) {
		if r == nil {
			return
		}
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "%s: %s: %s at offset %d, %d bytes", v.Path, what, f.Kind, f.Offset, f.Length)
			if f.Address != 0 {
				fmt.Fprintf(&b, ", block %d", f.Address)
			}
			if f.Text != "" {
				fmt.Fprintf(&b, " (%s)", f.Text)
			}
			b.WriteByte('\n')
		}
		if r.More > 0 {
			fmt.Fprintf(&b, "%s: %s: and %d more\n", v.Path, what, r.More)
		}
		if r.Changing > 0 {
			fmt.Fprintf(&b, "%s: %s: %d blocks are being written, nothing is known of them; verify it again\n", v.Path, what, r.Changing)
		}
		if r.Good() && v.Error == "" {
			fmt.Fprintf(&b, "%s: %s: good, %d bytes in %d blocks, %d bytes read at %s%s\n",
				v.Path, what, r.Size, r.Entries, r.Read, rate(r.Read, v.Seconds), unread(v, r))
		}
	}
	one("stored", v.Stored)
	one("against", v.Outside)
	_, err := io.WriteString(w, b.String())
	return err
}

// unread says what a comparison with an outside file leaves open.
func unread(v *verified, r *verify.Report) string {
	switch {
	case r != v.Outside || v.Stored != nil:
		return ""
	case r.IndexChecked:
		return "; the index has all of its blocks, which were not read"
	}
	return "; the stored blocks were not read (--read does that)"
}
