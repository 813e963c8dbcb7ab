package source

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// zfs makes snapshots of one dataset. Datasets below it are not touched: no -r anywhere.
type zfs struct {
	run     Runner
	dataset string
}

// NewZFS is the source of one ZFS file system, such as tank/data. It needs zfs(8) and its mount helper.
func NewZFS(p *Place, machine string, o Options, dataset string) (*Snapshot, error) {
	form := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.: -]*(/[A-Za-z0-9_.:-][A-Za-z0-9_.: -]*)*$`)
	if !form.MatchString(dataset) || len(dataset) > 255 {
		return nil, fmt.Errorf("source %s: dataset %q: want POOL or POOL/NAME/…, without a snapshot", machine, dataset)
	}
	if o.Name == "" {
		o.Name = dataset
	}
	return newSnapshot(p, machine, o, &zfs{p.run, dataset})
}

func (z *zfs) kind() string { return "zfs" }

func (z *zfs) create(ctx context.Context, name string) error {
	_, err := z.run(ctx, Command{Argv: []string{"zfs", "snapshot", z.dataset + "@" + name}, Deadline: commandTime, Patience: patience})
	return err
}

func (z *zfs) list(ctx context.Context) ([]found, error) {
	out, err := z.run(ctx, Command{Argv: []string{"zfs", "list", "-H", "-t", "snapshot", "-d", "1", "-o", "name", z.dataset}})
	if err != nil {
		return nil, err
	}
	return parseZFS(z.dataset, string(out)), nil
}

// parseZFS reads the names of snapshots, one a line, and returns those of ours and of exactly this dataset.
func parseZFS(dataset, out string) (list []found) {
	for line := range strings.Lines(out) {
		set, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "@")
		if ok && set == dataset && isOurs(name) {
			list = append(list, found{name: name})
		}
	}
	return list
}

func (z *zfs) mount(ctx context.Context, name, dir string) error {
	_, err := z.run(ctx, Command{Argv: []string{"mount", "-t", "zfs", "-o", mountOptions, z.dataset + "@" + name, dir}})
	return err
}

func (z *zfs) destroy(ctx context.Context, name string) error {
	_, err := z.run(ctx, Command{Argv: []string{"zfs", "destroy", z.dataset + "@" + name}, Deadline: commandTime, Patience: patience})
	return err
}

// mountOptions of every snapshot: it is read and nothing else.
const mountOptions = "ro,nosuid,nodev,noexec"
