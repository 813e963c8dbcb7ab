package verify

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// manifestVersion is the form of manifest.json. A reader refuses those that it does not know. In version 1 objects have no times and attributes.
const (
	manifestVersion = 2
	bareVersion     = 1
)

// Limits of a manifest that is believed.
const (
	maxManifest = 4 << 30 // bytes
	maxEntries  = 1 << 24 // files, and as many objects
)

// Manifest is manifest.json: what a backup holds. It is one JSON object, with one file or object on a line:
//
//	{"version":2,"backup":"NAME","made":"TIME","files":[
//	{"path":…},
//	{"path":…}],"objects":[
//	{"path":…}],"end":{"files":2,"objects":1}}
type Manifest struct {
	Backup  string
	Made    time.Time
	Files   []orchestrator.FileSum // by path
	Objects []Object               // by path; nil: not known
}

// WriteManifest writes manifest.json into the backup's directory dir, an absolute path. When it has returned nil, that is on the disk.
func WriteManifest(dir string, m Manifest) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := m.check(); err != nil {
		return fmt.Errorf("write manifest of %s: %w", dir, err)
	}
	if err := statefile.Replace(root, orchestrator.ManifestFile, 0o600, m.write); err != nil {
		return fmt.Errorf("write manifest of %s: %w", dir, err)
	}
	return nil
}

// head, tail are the parts of a manifest that are not lists.
type head struct {
	Version int       `json:"version"`
	Backup  string    `json:"backup"`
	Made    time.Time `json:"made"`
}

type tail struct {
	Files   int `json:"files"`
	Objects int `json:"objects"`
}

func (m Manifest) write(w io.Writer) error {
	b := bufio.NewWriter(w)
	text, err := json.Marshal(head{manifestVersion, m.Backup, m.Made.UTC()})
	if err != nil {
		return err
	}
	_, _ = b.Write(text[:len(text)-1]) // b keeps its first error, which Flush returns
	_, _ = b.WriteString(`,"files":[`)
	if err := lines(b, m.Files); err != nil {
		return err
	}
	if m.Objects != nil {
		_, _ = b.WriteString(`],"objects":[`)
		if err := lines(b, m.Objects); err != nil {
			return err
		}
	}
	if text, err = json.Marshal(tail{len(m.Files), len(m.Objects)}); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(b, "],\"end\":%s}\n", text)
	return b.Flush()
}

func lines[T any](b *bufio.Writer, list []T) error {
	for i := range list {
		text, err := json.Marshal(&list[i])
		if err != nil {
			return err
		}
		if i > 0 {
			_ = b.WriteByte(',')
		}
		_ = b.WriteByte('\n')
		_, _ = b.Write(text)
	}
	return nil
}

// check holds the lists against what a manifest promises.
func (m Manifest) check() error {
	if _, _, err := orchestrator.ParseBackupName(m.Backup); err != nil {
		return err
	}
	files := make(map[orchestrator.Path]bool, len(m.Files))
	for i := range m.Files {
		if err := checkFile(m.Files, i); err != nil {
			return err
		}
		files[m.Files[i].Path] = true
	}
	for i := range m.Files {
		if f := &m.Files[i]; f.Link != "" && (f.Link == f.Path || !files[f.Link]) {
			return fmt.Errorf("file %q: another name of %q, which is no other file", f.Path, f.Link)
		}
	}
	for i := range m.Objects {
		if err := checkObject(m.Objects, i); err != nil {
			return err
		}
	}
	return nil
}

// checkFile looks at the file i, behind those that were looked at.
func checkFile(list []orchestrator.FileSum, i int) error {
	f := &list[i]
	if i > 0 && list[i-1].Path >= f.Path {
		return fmt.Errorf("file %q behind %q: want the order of names", f.Path, list[i-1].Path)
	}
	if !safePath(f.Path) {
		return fmt.Errorf("file %q: its path leaves the backup, or is not written as we do", f.Path)
	}
	if f.Size < 0 || f.SegmentSize <= 0 {
		return fmt.Errorf("file %q: size %d in segments of %d bytes", f.Path, f.Size, f.SegmentSize)
	}
	want := f.Size / f.SegmentSize
	if f.Size%f.SegmentSize != 0 {
		want++
	}
	if int64(len(f.Segments)) != want {
		return fmt.Errorf("file %q: %d sums of segments, want %d for %d bytes", f.Path, len(f.Segments), want, f.Size)
	}
	at := uint64(0)
	for _, b := range f.Fresh {
		if b.Count == 0 || b.First < at || b.First+b.Count < b.First || b.First+b.Count > uint64(f.Size) {
			return fmt.Errorf("file %q: %d new blocks from %d on: not in order, or not of the file", f.Path, b.Count, b.First)
		}
		at = b.First + b.Count
	}
	return nil
}

// checkObject looks at the object i, behind those that were looked at.
func checkObject(list []Object, i int) error {
	o := &list[i]
	if i > 0 && list[i-1].Path >= o.Path {
		return fmt.Errorf("object %q behind %q: want the order of names", o.Path, list[i-1].Path)
	}
	switch o.Kind {
	case File, Dir, Symlink, Fifo, Socket, Char, Block:
	default:
		return fmt.Errorf("object %q: kind %q is not known", o.Path, o.Kind)
	}
	if !safePath(o.Path) || o.Mode > 0o7777 || (o.Kind == Symlink) != (o.Target != "") {
		return fmt.Errorf("object %q: %s of mode %o with target %q", o.Path, o.Kind, o.Mode, o.Target)
	}
	return nil
}
