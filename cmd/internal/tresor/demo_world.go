package tresor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
)

// makeDisk makes a file with an empty ext4 in it.
func makeDisk(ctx context.Context, name string, size int64) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", name)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return nil
}

// makeSources makes a folder of documents, and the image of a small machine with holes in it.
func makeSources(office, machine string, size int64) error {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		name := filepath.Join(office, fmt.Sprintf("customer %02d", i%20), fmt.Sprintf("Brief %03d – Übersicht.txt", i))
		if err := makeFile(name, document(random, 4<<10+random.IntN(60<<10))); err != nil {
			return err
		}
	}
	if err := os.Symlink("customer 00", filepath.Join(office, "newest")); err != nil {
		return err
	}
	if err := os.MkdirAll(machine, 0o750); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(machine, "disk.img"))
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for off := int64(0); off < size && err == nil; off += 2 << 20 { // every other MiB is a hole
		fill(random, block)
		_, err = f.WriteAt(block, off)
	}
	return errors.Join(err, f.Truncate(size), f.Close())
}

// changeSources is what happens on a day.
func changeSources(office, machine string) error {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	for range 5 {
		name := filepath.Join(office, "customer 03", fmt.Sprintf("Note %d.txt", random.IntN(1e6)))
		if err := makeFile(name, document(random, 20<<10)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(office, fmt.Sprintf("customer %02d", 4+random.IntN(10)))); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(machine, "disk.img"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	block := make([]byte, 64<<10)
	for range 20 {
		if err == nil {
			fill(random, block)
			_, err = f.WriteAt(block, random.Int64N(info.Size()>>16)<<16)
		}
	}
	return errors.Join(err, f.Close())
}

func fill(random *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(random.Uint32())
	}
}

func document(random *rand.Rand, n int) []byte {
	words := strings.Fields("Tresor Platte Sicherung Kunde Rechnung Angebot disk backup customer invoice offer night")
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[random.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.Bytes()
}

func makeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o640)
}

// equalTrees compares two trees by reading them: names, kinds, permissions and contents.
func equalTrees(want, have string) error {
	seen := 0
	err := filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		seen++
		return equalEntry(path, filepath.Join(have, rel))
	})
	if err != nil {
		return err
	}
	more := 0
	err = filepath.WalkDir(have, func(string, fs.DirEntry, error) error { more++; return nil })
	if err == nil && more != seen {
		err = fmt.Errorf("%s has %d entries, its source %d", have, more, seen)
	}
	return err
}

func equalEntry(want, have string) error {
	a, err := os.Lstat(want)
	if err != nil {
		return err
	}
	b, err := os.Lstat(have)
	if err != nil {
		return err
	}
	if a.Mode() != b.Mode() || a.Mode().IsRegular() && a.Size() != b.Size() {
		return fmt.Errorf("%s: have mode %v and %d bytes, want %v and %d as %s", have, b.Mode(), b.Size(), a.Mode(), a.Size(), want)
	}
	switch {
	case a.Mode()&fs.ModeSymlink != 0:
		x, err := os.Readlink(want)
		y, err2 := os.Readlink(have)
		if err := errors.Join(err, err2); err != nil || x != y {
			return errors.Join(err, fmt.Errorf("symlink %s: have %q, want %q", have, y, x))
		}
	case a.Mode().IsRegular():
		x, err := os.ReadFile(want)
		y, err2 := os.ReadFile(have)
		if err := errors.Join(err, err2); err != nil || !bytes.Equal(x, y) {
			return errors.Join(err, fmt.Errorf("%s differs from %s", have, want))
		}
	}
	return nil
}

// leaveNothing takes away what is mounted below a directory, and the directory. In a life that went well nothing is mounted any more.
func leaveNothing(dir string) error {
	mounts, err := index.Mounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		if strings.HasPrefix(m.Point, dir+"/") {
			errs = append(errs, fmt.Errorf("%s was still mounted", m.Point))
			if err := unix.Unmount(m.Point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
				errs = append(errs, &os.PathError{Op: "unmount", Path: m.Point, Err: err})
			}
		}
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}
