package indexcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tresor/orchestrator/internal/statefile"
)

// Mark is the content of a generation file.
type Mark struct {
	Volume     string    `json:"volume"` // id, as in the name of the index
	Generation uint64    `json:"generation"`
	Session    string    `json:"session"` // random; that of the generation
	When       time.Time `json:"when"`
	Host       string    `json:"host"`
	Complete   bool      `json:"complete"` // closed: size and sum are those of the index
	Size       int64     `json:"size"`     // bytes
	Sum        string    `json:"xxh64"`    // 16 hexadecimal digits
	CheckOwed  bool      `json:"check_owed,omitempty"`
	Traces     []Trace   `json:"traces,omitempty"` // of the volume's mark only
	// MTime of the index when a copy of it was made during a session, in nanoseconds since 1970; of the copy's mark only.
	MTime int64 `json:"mtime,omitempty"`
}

// Trace is what a file of the volume looked like at the close.
type Trace struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`  // bytes
	MTime int64  `json:"mtime"` // nanoseconds since 1970
}

const (
	volumeMark = "tresor.generation"
	markSuffix = ".generation"
	markLimit  = 1 << 20 // bytes
)

// readMark returns nil if there is no such file. A damaged one is an error of the class errDamaged.
func readMark(root *os.Root, name, id string) (*Mark, error) {
	data, err := statefile.Read(root, name, markLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m Mark
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, errDamaged, err)
	}
	if m.Volume != id || m.Session == "" || m.Complete && len(m.Sum) != 16 {
		return nil, fmt.Errorf("%s: %w: it is about volume %q, want %q", name, errDamaged, m.Volume, id)
	}
	return &m, nil
}

var errDamaged = errors.New("generation file is damaged")

func writeMark(root *os.Root, name string, m Mark) error {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return statefile.ReplaceBytes(root, name, 0o644, append(data, '\n'))
}

// traces looks at the files that every user of a volume changes, as far as they are there.
func traces(p Place) ([]Trace, error) {
	list := []Trace{}
	for _, path := range []string{p.Blocks, filepath.Join(p.Parent, "ddfsusedblocks"), filepath.Join(p.Parent, ".ddfssnapshot")} {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("traces of the last use: %w", err)
		}
		if info.Mode().IsRegular() { // a device has no time that says anything
			list = append(list, Trace{Name: filepath.Base(path), Size: info.Size(), MTime: info.ModTime().UnixNano()})
		}
	}
	return list, nil
}

func sameTraces(a, b []Trace) bool { return slices.Equal(a, b) }
