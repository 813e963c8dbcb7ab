package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tresor/cmd/internal/cli"
	"tresor/index"
	"tresor/index/indexfile"
	"tresor/index/progress"
	"tresor/index/reclaim"
)

// offlineStats are the statistics of a volume that is not mounted: what configuration and index say. The volume is not
// locked and not changed.
func offlineStats(_ context.Context, path string) (parent, text string, err error) {
	p, err := index.Acquire(index.Location{Parent: path}, index.Read)
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

// offlineReclaim frees blocks of a volume that is not mounted, and owns it meanwhile. A dry run opens it for reading and changes nothing.
func offlineReclaim(ctx context.Context, path string, dryRun bool, show progress.Func) (text string, err error) {
	p, err := index.Acquire(index.Location{Parent: path}, index.Write)
	if err != nil {
		return "", err
	}
	v, err := index.Open(p, index.Options{ReadOnly: dryRun, NeedClean: true}) // takes p over
	if errors.Is(err, index.ErrUnclean) {
		return "", cli.Hint(cli.Exit(cli.ExitCorrupt, err), "ddumbfs fsck -n "+p.Dir+" repairs it; so does a mount")
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	report, err := reclaim.Run(ctx, v, reclaim.Options{DryRun: dryRun, Progress: show})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = report.WriteText(&b)
	return b.String(), err
}
