package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"tresor/orchestrator"
)

// ReadManifest reads manifest.json of the backup in dir, an absolute path whose last element is the name of the backup. It believes nothing: the form, the
// order of names, that paths stay in the backup, that lists are complete, and the sizes of all are checked.
func ReadManifest(dir string) (Manifest, error) {
	f, err := inBackup(dir, orchestrator.ManifestFile, maxManifest)
	if err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	defer f.Close() // it is read only
	m, err := parseManifest(io.LimitReader(f, maxManifest))
	if err == nil && m.Backup != filepath.Base(dir) {
		err = fmt.Errorf("it is of backup %q", m.Backup)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("read manifest %s: %w", f.Name(), err)
	}
	return m, nil
}

// parser reads a manifest piece by piece, so that nothing is held that was not checked.
type parser struct{ d *json.Decoder }

func parseManifest(r io.Reader) (Manifest, error) {
	p := parser{json.NewDecoder(r)}
	p.d.DisallowUnknownFields()
	m, end, err := p.manifest()
	if err == nil {
		if _, more := p.d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something behind its end")
		}
	}
	if err == nil && (end.Files != len(m.Files) || end.Objects != len(m.Objects)) {
		err = fmt.Errorf("%d files and %d objects, want %d and %d", len(m.Files), len(m.Objects), end.Files, end.Objects)
	}
	if err == nil {
		err = m.check()
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("at byte %d: %w", p.d.InputOffset(), err)
	}
	return m, nil
}

// manifest reads the keys in the order in which they are written.
func (p parser) manifest() (m Manifest, end tail, err error) {
	var h head
	steps := []struct {
		key  string
		read func() error
	}{
		{"version", func() error {
			if err := p.d.Decode(&h.Version); err != nil {
				return err
			}
			if h.Version != manifestVersion && h.Version != bareVersion {
				return fmt.Errorf("version %d: this program knows versions %d and %d", h.Version, bareVersion, manifestVersion)
			}
			return nil
		}},
		{"backup", func() error { return p.d.Decode(&m.Backup) }},
		{"made", func() error { return p.d.Decode(&m.Made) }},
		{"files", func() (err error) { m.Files, err = array(p.d, checkFile); return err }},
		{"objects", func() (err error) { m.Objects, err = array(p.d, checkObject); return err }},
		{"end", func() error { return p.d.Decode(&end) }},
	}
	if err := p.delim('{'); err != nil {
		return m, end, err
	}
	for i := 0; i < len(steps); i++ {
		key, err := p.key()
		if err == nil && key == "end" && steps[i].key == "objects" {
			i++ // objects may be missing
		}
		if err == nil && key != steps[i].key {
			err = fmt.Errorf("key %.100q, want %q", key, steps[i].key)
		}
		if err == nil {
			err = steps[i].read()
		}
		if err != nil {
			return m, end, err
		}
	}
	for i := range m.Objects {
		m.Objects[i].bare = h.Version == bareVersion
	}
	return m, end, p.delim('}')
}

func (p parser) key() (string, error) {
	t, err := p.d.Token()
	key, ok := t.(string)
	if err == nil && !ok {
		err = fmt.Errorf("have %v, want a key", t)
	}
	return key, err
}

func (p parser) delim(want json.Delim) error {
	t, err := p.d.Token()
	if err == nil && t != want {
		err = fmt.Errorf("have %v, want %v", t, want)
	}
	return err
}

// array reads a list, checks each entry before the next is read, and takes not more than is believed.
func array[T any](d *json.Decoder, check func(list []T, i int) error) ([]T, error) {
	if err := (parser{d}).delim('['); err != nil {
		return nil, err
	}
	list := []T{}
	for d.More() {
		if len(list) == maxEntries {
			return nil, fmt.Errorf("more than %d entries", maxEntries)
		}
		var e T
		if err := d.Decode(&e); err != nil {
			return nil, err
		}
		list = append(list, e)
		if err := check(list, len(list)-1); err != nil {
			return nil, err
		}
	}
	return list, (parser{d}).delim(']')
}
