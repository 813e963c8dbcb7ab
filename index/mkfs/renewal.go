package mkfs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tresor/index/disk"
	"tresor/index/format"
)

// renewalMagic begins the file of a renewal; the number is the version of its form.
const renewalMagic = "tresor reinit 1"

// The stages of a renewal.
const (
	// clearing: as long as there is a configuration it is the old one, and nothing is gone; without one the old volume is going, or
	// the new one is not complete.
	clearing = "clearing"
	// made: the new volume is complete; at most its configuration is missing.
	made = "made"
)

// renewal is what .ddfsreinit holds: lines of text, with a checksum.
//
//	tresor reinit 1
//	STAGE
//	path of the old index, as a Go string
//	path of the old block file
//	SHA-256 of the other lines
//	the new configuration, as in ddfs.cfg
type renewal struct {
	stage              string
	oldIndex, oldBlock string // absolute paths
	config             *format.Config

	over bool            // take files that seem to be of somebody else
	mine map[string]bool // files that are known to be the volume's own
	// resumed tells that only .ddfsreinit says what is the volume's own: anybody may have written that.
	resumed bool
}

func (r *renewal) marshal() []byte {
	head := strings.Join([]string{renewalMagic, r.stage, strconv.Quote(r.oldIndex), strconv.Quote(r.oldBlock)}, "\n") + "\n"
	config := string(r.config.Marshal())
	sum := sha256.Sum256([]byte(head + config))
	return []byte(head + hex.EncodeToString(sum[:]) + "\n" + config)
}

// parseRenewal takes any bytes.
func parseRenewal(name string, data []byte) (*renewal, error) {
	corrupt := func(what, want string) error {
		return &format.CorruptError{File: name, What: "unfinished reinit: " + what, Want: want, Have: "something else"}
	}
	lines := strings.SplitN(string(data), "\n", 6)
	if len(lines) != 6 || lines[0] != renewalMagic {
		return nil, corrupt("first line", renewalMagic)
	}
	head := strings.Join(lines[:4], "\n") + "\n"
	if sum := sha256.Sum256([]byte(head + lines[5])); lines[4] != hex.EncodeToString(sum[:]) {
		return nil, corrupt("checksum", hex.EncodeToString(sum[:]))
	}
	r := &renewal{stage: lines[1]}
	if r.stage != clearing && r.stage != made {
		return nil, corrupt("stage", clearing+" or "+made)
	}
	for i, at := range []*string{&r.oldIndex, &r.oldBlock} {
		path, err := strconv.Unquote(lines[2+i])
		if err != nil || !filepath.IsAbs(path) {
			return nil, corrupt("old files", "an absolute path")
		}
		*at = path
	}
	var err error
	r.config, err = format.ParseConfig(name, []byte(lines[5]))
	return r, err
}

// maxRenewal bounds .ddfsreinit where it is read, in bytes.
const maxRenewal = 64 << 10

// loadRenewal reads .ddfsreinit; nil without an error where there is none.
func (m *maker) loadRenewal() (*renewal, error) {
	name := m.path(format.ReinitName)
	f, err := m.fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, maxRenewal))
	if err != nil {
		return nil, err
	}
	return parseRenewal(name, data)
}

// store puts .ddfsreinit on the disk with a stage.
func (m *maker) store(stage string) error {
	m.re.stage = stage
	if err := disk.WriteFileAtomic(m.fs, m.path(format.ReinitName), m.re.marshal(), 0o600); err != nil {
		return fmt.Errorf("write down what is made: %w", err)
	}
	return nil
}

// own notes the files that are the volume's, the old ones and, when it goes on, the new ones.
func (r *renewal) own(names ...string) {
	if r.mine == nil {
		r.mine = map[string]bool{}
	}
	for _, name := range names {
		r.mine[name] = true
	}
}
