package contender

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Archive is a contender that whole files are stored in, as backup programs do. Its operations return CPU times of their commands.
type Archive interface {
	Contender
	// Create stores a file under a name of its own.
	Create(ctx context.Context, file, name string) (time.Duration, error)
	// Verify reads and proves everything that is stored.
	Verify(ctx context.Context) (time.Duration, error)
	// Extract writes the stored file to a directory and returns its path there.
	Extract(ctx context.Context, name, dir string) (string, time.Duration, error)
}

// Borg is an archive of borgbackup: no encryption and no compression, as a volume of ours.
type Borg struct{ base string }

// NewBorg keeps its repository and caches below base, which Start makes.
func NewBorg(base string) *Borg { return &Borg{base: base} }

// Name implements Contender.
func (b *Borg) Name() string { return "borg" }

func (b *Borg) repo() string { return filepath.Join(b.base, "repo") }

func (b *Borg) run(ctx context.Context, args ...string) (time.Duration, error) {
	_, cpu, err := command(ctx, []string{"BORG_BASE_DIR=" + filepath.Join(b.base, "borg"), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes",
		"BORG_RELOCATED_REPO_ACCESS_IS_OK=yes", "BORG_EXIT_CODES=modern"}, append([]string{"borg"}, args...)...)
	return cpu, err
}

// Start makes the repository; without the program it is exec.ErrNotFound.
func (b *Borg) Start(ctx context.Context) error {
	if _, err := exec.LookPath("borg"); err != nil {
		return err
	}
	if err := os.MkdirAll(b.base, 0o755); err != nil {
		return fmt.Errorf("start borg: %w", err)
	}
	_, err := b.run(ctx, "init", "--encryption", "none", b.repo())
	return err
}

// Stop removes repository and caches.
func (b *Borg) Stop() error { return os.RemoveAll(b.base) }

// Create implements Archive.
func (b *Borg) Create(ctx context.Context, file, name string) (time.Duration, error) {
	return b.run(ctx, "create", "--compression", "none", "--files-cache", "disabled", b.repo()+"::"+name, file)
}

// Verify implements Archive.
func (b *Borg) Verify(ctx context.Context) (time.Duration, error) {
	return b.run(ctx, "check", "--verify-data", b.repo())
}

// Extract implements Archive. Borg extracts to the working directory.
func (b *Borg) Extract(ctx context.Context, name, dir string) (string, time.Duration, error) {
	script := `cd "$1" && exec borg extract "$2"`
	_, cpu, err := command(ctx, []string{"BORG_BASE_DIR=" + filepath.Join(b.base, "borg"), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes"},
		"sh", "-c", script, "sh", dir, b.repo()+"::"+name)
	if err != nil {
		return "", cpu, err
	}
	path, err := onlyFile(dir)
	return path, cpu, err
}

// Restic is an archive of restic, without compression. It always encrypts.
type Restic struct{ base string }

// NewRestic keeps its repository and cache below base, which Start makes.
func NewRestic(base string) *Restic { return &Restic{base: base} }

// Name implements Contender.
func (r *Restic) Name() string { return "restic" }

func (r *Restic) run(ctx context.Context, args ...string) (time.Duration, error) {
	_, cpu, err := command(ctx, []string{"RESTIC_PASSWORD=bench", "RESTIC_REPOSITORY=" + filepath.Join(r.base, "repo"),
		"RESTIC_CACHE_DIR=" + filepath.Join(r.base, "cache"), "RESTIC_COMPRESSION=off"}, append([]string{"restic", "--quiet"}, args...)...)
	return cpu, err
}

// Start makes the repository; without the program it is exec.ErrNotFound.
func (r *Restic) Start(ctx context.Context) error {
	if _, err := exec.LookPath("restic"); err != nil {
		return err
	}
	if err := os.MkdirAll(r.base, 0o755); err != nil {
		return fmt.Errorf("start restic: %w", err)
	}
	_, err := r.run(ctx, "init")
	return err
}

// Stop removes repository and cache.
func (r *Restic) Stop() error { return os.RemoveAll(r.base) }

// Create implements Archive.
func (r *Restic) Create(ctx context.Context, file, name string) (time.Duration, error) {
	return r.run(ctx, "backup", "--force", "--tag", name, file)
}

// Verify implements Archive.
func (r *Restic) Verify(ctx context.Context) (time.Duration, error) {
	return r.run(ctx, "check", "--read-data")
}

// Extract implements Archive.
func (r *Restic) Extract(ctx context.Context, name, dir string) (string, time.Duration, error) {
	cpu, err := r.run(ctx, "restore", "latest", "--tag", name, "--target", dir)
	if err != nil {
		return "", cpu, err
	}
	path, err := onlyFile(dir)
	return path, cpu, err
}

// onlyFile finds the only regular file below a directory.
func onlyFile(dir string) (string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err == nil && len(found) != 1 {
		err = errors.New("want one file, have " + fmt.Sprint(len(found)))
	}
	if err != nil {
		return "", fmt.Errorf("look for the extracted file in %s: %w", dir, err)
	}
	return found[0], nil
}

// Copies is a volume of ours that is written and read without a mount, by `ddumbfs cp`.
type Copies struct{ *Volume }

// NewCopies returns an archive in a volume.
func NewCopies(o VolumeOptions) *Copies { return &Copies{NewVolume(o)} }

// Start makes the volume and leaves it unmounted.
func (c *Copies) Start(ctx context.Context) error {
	return errors.Join(c.Volume.Start(ctx), c.Unmount())
}

// Create implements Archive.
func (c *Copies) Create(ctx context.Context, file, name string) (time.Duration, error) {
	return c.CopyIn(ctx, file, name)
}

// Verify implements Archive.
func (c *Copies) Verify(ctx context.Context) (time.Duration, error) { return c.Check(ctx, true) }

// Extract implements Archive.
func (c *Copies) Extract(ctx context.Context, name, dir string) (string, time.Duration, error) {
	path := filepath.Join(dir, name)
	cpu, err := c.CopyOut(ctx, name, path)
	return path, cpu, err
}
