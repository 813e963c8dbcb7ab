package volume

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"tresor/orchestrator/internal/deadline"
	"tresor/orchestrator/volume/internal/indexcache"
)

// Files of a disk and of a volume.
const (
	diskInfo   = "diskinfo" // on the disk: a line "UUID: …", which names the index
	configFile = "ddfs.cfg" // in the parent
	configSize = 1 << 20    // bytes, at most
)

// ground is a volume on its mounted disk, as its files say.
type ground struct {
	dir, parent string
	id          string
	place       *indexcache.Place // nil: the index lies in the volume, and there is nothing to look after
	note        string
}

// errNoVolume: the disk holds none.
var errNoVolume = errors.New("there is no volume on the disk")

// word is a name as a shell takes it for one word.
func word(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("-_.@%+=:,", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}

// survey reads what the disk says about its volume.
func (m *Manager) survey(ctx context.Context, v *Spec, dir string) (*ground, error) {
	if dir == "" {
		return nil, fmt.Errorf("volume %q: its disk is mounted nowhere", v.Name)
	}
	return deadline.Run(ctx, "look at the volume on "+dir, func() (*ground, error) {
		g := &ground{dir: dir, parent: v.parentOf(dir)}
		settings, err := readKeys(filepath.Join(g.parent, configFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is missing: %w; if the disk is new, `tresor volumes init %s` makes one", filepath.Join(g.parent, configFile), errNoVolume, word(v.Name))
		}
		if err != nil {
			return nil, fmt.Errorf("volume %q: %w", v.Name, err)
		}
		index := settings["index_filename"]
		if index == "" {
			return nil, fmt.Errorf("volume %q: %s has no index_filename", v.Name, filepath.Join(g.parent, configFile))
		}
		if err := g.identify(v, index); err != nil {
			return nil, err
		}
		if !filepath.IsAbs(index) {
			return g, nil
		}
		if g.id == "" {
			return nil, fmt.Errorf("volume %q: nothing says its UUID; write a line \"UUID: …\" into %s", v.Name, filepath.Join(dir, diskInfo))
		}
		g.place = m.place(g.parent, g.id)
		g.place.Config = index
		if blocks := settings["block_filename"]; filepath.IsAbs(blocks) {
			g.place.Blocks = blocks
		} else if blocks != "" {
			g.place.Blocks = filepath.Join(g.parent, blocks)
		}
		return g, nil
	})
}

func (m *Manager) place(parent, id string) *indexcache.Place {
	return &indexcache.Place{Parent: parent, Blocks: filepath.Join(parent, "ddfsblocks"), Dir: m.o.Index, ID: id}
}

// identify finds the name of the index: what diskinfo says, the file system's UUID, or the name that the configuration has.
func (g *ground) identify(v *Spec, index string) error {
	keys, err := readKeys(filepath.Join(g.dir, diskInfo))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("volume %q: %w", v.Name, err)
	}
	g.id = keys["UUID"]
	own := v.Disk.ID()
	switch {
	case g.id != "" && own != "" && !strings.EqualFold(g.id, own):
		g.note = fmt.Sprintf("%s says UUID %s, the file system has %s: was the disk copied?", diskInfo, g.id, own)
	case g.id == "" && own != "":
		g.id = own
	case g.id == "" && filepath.IsAbs(index):
		g.id = strings.TrimSuffix(filepath.Base(index), ".idx")
	}
	if strings.ContainsAny(g.id, "/\x00") || strings.HasPrefix(g.id, ".") {
		return fmt.Errorf("volume %q: %q is no UUID", v.Name, g.id)
	}
	return nil
}

// readKeys reads lines "key: value"; others are skipped.
func readKeys(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was read only
	keys := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(f, configSize))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok {
			keys[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return keys, nil
}
