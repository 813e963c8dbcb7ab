package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/bench/contender"
)

// image is a file with its content mapped, in the page cache as long as it is.
type image struct {
	path string
	data []byte
}

// images are a file system image and its successor.
type images struct {
	first, next image
}

// errNoImage says that this machine cannot make one.
var errNoImage = errors.New("no file system image")

// makeImages fills an ext4 image with files of this machine; then some are removed, some overwritten by others, and new ones added. The tools of ext4 do
// all of it, without a mount.
func makeImages(ctx context.Context, dir string, size int64) (*images, error) {
	for _, tool := range []string{"mkfs.ext4", "debugfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoImage, err)
		}
	}
	tree := filepath.Join(dir, "tree")
	names, err := gather(ctx, tree, size)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tree)
	first, next := filepath.Join(dir, "first.img"), filepath.Join(dir, "next.img")
	if _, _, err := contender.Command(ctx, "mkfs.ext4", "-q", "-F", "-E", "hash_seed=b9fd5be4-6d1a-4cbd-a0e7-1c6c2d7f2d11,root_owner=0:0", "-d", tree, first,
		fmt.Sprint((size+size/2)>>10)); err != nil {
		return nil, fmt.Errorf("make the file system image: %w", err)
	}
	if err := copyFile(ctx, first, next); err != nil {
		return nil, err
	}
	if err := change(ctx, dir, tree, next, names); err != nil {
		return nil, err
	}
	i := &images{}
	if i.first, err = mapImage(first); err == nil {
		i.next, err = mapImage(next)
	}
	if err != nil {
		return nil, errors.Join(err, i.close())
	}
	return i, nil
}

// roots of files to fill an image with, in order of preference.
func roots() []string {
	return []string{filepath.Join(runtime.GOROOT(), "src"), "/usr/lib", "/usr/share", "/usr/bin"}
}

// gather copies regular files of this machine to a tree until they have so many bytes, and returns their names.
func gather(ctx context.Context, tree string, size int64) (names []string, err error) {
	left := size
	for _, root := range roots() {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil || !d.Type().IsRegular() || strings.ContainsAny(path, " \"\\\n") {
				return nil // what cannot be read is not needed
			}
			info, err := d.Info()
			if err != nil || info.Size() > left/2 {
				return nil
			}
			name := filepath.Join(strings.TrimPrefix(path, "/"))
			if err := copyFile(ctx, path, filepath.Join(tree, name)); err != nil {
				return err
			}
			names = append(names, name)
			if left -= info.Size() + 512; left < size/50 {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("gather files for an image: %w", err)
		}
	}
	if left > size/2 {
		return nil, fmt.Errorf("%w: too few files below %v", errNoImage, roots())
	}
	return names, nil
}

func copyFile(ctx context.Context, from, to string) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// change does to the image what a day does to a machine: of every 40 files one goes, one comes, and one is replaced.
func change(ctx context.Context, dir, tree, img string, names []string) error {
	var script strings.Builder
	for i := 0; i+2 < len(names); i += 40 {
		source := filepath.Join(tree, names[i])
		fmt.Fprintf(&script, "rm /%s\n", names[i])
		fmt.Fprintf(&script, "write %s /added-%d\n", source, i)
		fmt.Fprintf(&script, "rm /%s\nwrite %s /%s\n", names[i+1], filepath.Join(tree, names[i+2]), filepath.Base(names[i+1])+fmt.Sprint(i))
	}
	commands := filepath.Join(dir, "changes")
	if err := os.WriteFile(commands, []byte(script.String()), 0o644); err != nil {
		return err
	}
	if _, _, err := contender.Command(ctx, "debugfs", "-w", "-f", commands, img); err != nil {
		return fmt.Errorf("change the file system image: %w", err)
	}
	return nil
}

func mapImage(path string) (image, error) {
	f, err := os.Open(path)
	if err != nil {
		return image{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return image{}, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return image{}, fmt.Errorf("map %s: %w", path, err)
	}
	return image{path: path, data: data}, nil
}

func (i *images) close() (err error) {
	if i == nil {
		return nil
	}
	for _, m := range [][]byte{i.first.data, i.next.data} {
		if m != nil {
			err = errors.Join(err, unix.Munmap(m))
		}
	}
	return err
}
