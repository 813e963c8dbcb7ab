package tresor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/config"
)

// contents is what was seen on a volume. It is kept in a file of the state, for the time when the volume is not mounted, or not there.
type contents struct {
	Volume   string                `json:"volume"`
	Seen     time.Time             `json:"seen"`
	Backups  []orchestrator.Backup `json:"backups"`
	Evidence []orchestrator.Backup `json:"crc_failed"`    // copies that differed from their source twice, put aside
	Keep     int                   `json:"keep_versions"` // what KEEPVERSIONS says; 0: there is none
	Usage    orchestrator.Usage    `json:"usage"`
	Unsure   string                `json:"unsure,omitempty"` // why Keep or Usage is not known
	unsure   error
}

// sure is why nothing may be planned by what was seen; nil: it may.
func (c *contents) sure() error {
	if c.unsure == nil && c.Unsure != "" {
		return errors.New(c.Unsure)
	}
	return c.unsure
}

func contentsDir(c *config.Config) string { return filepath.Join(c.Paths.State, "seen") }

// save replaces what was seen of the volume before.
func (c *contents) save(cfg *config.Config) error {
	if err := os.MkdirAll(contentsDir(cfg), 0o750); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return writePrivate(filepath.Join(contentsDir(cfg), url.PathEscape(c.Volume)+".json"), append(text, '\n'))
}

// seen is what was seen last of each volume of the configuration that ever was mounted, the newest first. A file that cannot be read is in the error.
func seen(c *config.Config) (list []contents, err error) {
	for _, v := range c.Volumes {
		name := filepath.Join(contentsDir(c), url.PathEscape(v.Name)+".json")
		text, e := os.ReadFile(name)
		if errors.Is(e, fs.ErrNotExist) {
			continue
		}
		var one contents
		if e == nil {
			e = json.Unmarshal(text, &one)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("what was seen of volume %s, %s: %w", v.Name, name, e))
			continue
		}
		list = append(list, one)
	}
	slices.SortStableFunc(list, func(a, b contents) int { return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.Volume, b.Volume)) })
	return list, err
}
