package command

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/index"
	"tresor/index/format"
)

// target is a volume that the user named: by a path in its mounted tree, or by its parent directory.
type target struct {
	mount  *index.Mount // nil when the volume is not mounted
	parent string       // as given, when it is not mounted
}

// findTarget looks for a mount at the path, for a mount of that parent, and for a mount around the path that is no volume
// itself; what remains is taken for the parent directory of a volume that is not mounted.
func findTarget(name string) (target, error) {
	list, err := index.Mounts()
	if err != nil {
		return target{}, err
	}
	path, err := absolute(name)
	if errors.Is(err, fs.ErrNotExist) {
		return target{}, cli.Exit(cli.ExitNoVolume, err)
	}
	if err != nil {
		return target{}, err
	}
	if e := mounted.At(list, path); e != nil && e.Volume() {
		return target{mount: e}, nil
	}
	if e := mountOf(list, path); e != nil {
		return target{mount: e}, nil
	}
	if e := mountAround(list, path); e != nil && e.Volume() {
		if inner, _ := exists(filepath.Join(path, format.ConfigName)); !inner { // a file has nothing in it
			return target{mount: e}, nil
		}
	}
	return target{parent: path}, nil
}

// readSpecial reads one of the files that the mounted volume computes when it is read; tick is called about once a
// second. The context ends the wait at once, and the kernel calls the request off when the process ends.
func readSpecial(ctx context.Context, m *index.Mount, file string, tick func()) (string, error) {
	name := filepath.Join(m.Point, format.SpecialName, file)
	type answer struct {
		data []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		data, err := readAll(name)
		done <- answer{data, err}
	}()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case a := <-done:
			return string(a.data), a.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-ticker.C:
			tick()
		}
	}
}

// readAll reads to the end, whatever size the file claims. What was read before an error is returned with it.
func readAll(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
