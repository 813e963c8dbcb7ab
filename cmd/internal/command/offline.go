package command

import (
	"context"
	"fmt"
	"strings"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/indexfile"
)

// offlineStats are the statistics of a volume that is not mounted: what configuration and index say. The volume is not
// locked and not changed.
func offlineStats(_ context.Context, path string) (parent, text string, err error) {
	p, err := index.Acquire(index.Location{FS: disk.OS(), Parent: path}, index.Read)
	if err != nil {
		return "", "", err
	}
	defer p.Close()
	if err := p.IndexMissing(); err != nil {
		return "", "", err
	}
	x, err := indexfile.Open(p.FS, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true})
	if err != nil {
		return "", "", err
	}
	defer x.Close()
	dirty, err := p.Dirty()
	if err != nil {
		return "", "", err
	}
	used := x.Bitmap().Count()
	var b strings.Builder
	for _, line := range []struct {
		name  string
		value any
	}{
		{"block_allocated", used},
		{"block_free", p.Geometry.BlockCount - used},
		{"block_size", p.Geometry.BlockSize},
		{"overflow", fmt.Sprintf("%.2f", p.Config.Overflow)},
		{"hash", p.Geometry.Kind.Name()},
		{"clean", yesNo(!dirty)},
	} {
		b.WriteString(statisticsLine(line.name, line.value))
	}
	return p.Dir, b.String(), nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// offlineReclaim frees blocks of a volume that is not mounted.
func offlineReclaim(context.Context, string, func(string)) (string, error) {
	err := fmt.Errorf("the volume is not mounted: %w", format.ErrUnsupported)
	return "", cli.Hint(err, "mount it and run ddumbfs reclaim MNT")
}
