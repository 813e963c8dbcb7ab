package contender

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Volume is a volume with its daemon.
type Volume struct {
	name      string
	base      string
	tools     Tools
	hash      string
	blockSize int
	size      int64
	m         atomic.Pointer[mounted] // nil: not mounted
}

// VolumeOptions describe a volume to be made.
type VolumeOptions struct {
	// Name of the contender, Base the directory that Start makes for volume and mount point.
	Name, Base string
	// Tools are the programs under test.
	Tools Tools
	// Hash function, by its name.
	Hash string
	// BlockSize and Size of the block file, in bytes.
	BlockSize int
	Size      int64
}

// NewVolume returns a volume that Start makes and mounts.
func NewVolume(o VolumeOptions) *Volume {
	return &Volume{name: o.Name, base: o.Base, tools: o.Tools, hash: o.Hash, blockSize: o.BlockSize, size: o.Size}
}

// Name implements Contender.
func (v *Volume) Name() string { return v.name }

// Hash is the name of its hash function.
func (v *Volume) Hash() string { return v.hash }

// Original tells whether the programs of the original serve it.
func (v *Volume) Original() bool { return v.tools.Reclaim == nil }

// Parent is the directory of the volume.
func (v *Volume) Parent() string { return filepath.Join(v.base, "parent") }

// Dir implements FileSystem.
func (v *Volume) Dir() string { return filepath.Join(v.base, "mnt") }

// Keeps implements FileSystem.
func (v *Volume) Keeps() bool { return true }

// BlockSize implements FileSystem.
func (v *Volume) BlockSize() int { return v.blockSize }

// CPU implements FileSystem.
func (v *Volume) CPU() time.Duration {
	if m := v.m.Load(); m != nil {
		return m.server.cpu()
	}
	return 0
}

// Start makes the volume and mounts it.
func (v *Volume) Start(ctx context.Context) error {
	for _, dir := range []string{v.Dir(), v.Parent()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("start %s: %w", v.name, err)
		}
	}
	args := append(v.tools.Mkfs, "-H", v.hash, "-B", strconv.Itoa(v.blockSize), "-s", strconv.FormatInt(v.size, 10), v.Parent())
	if _, _, err := command(ctx, nil, args...); err != nil {
		return fmt.Errorf("start %s: %w", v.name, err)
	}
	return v.Mount(ctx)
}

// Mount mounts a volume that was unmounted.
func (v *Volume) Mount(ctx context.Context) error {
	m, err := mountWith(ctx, v.Dir(), closeTime, v.tools.Mount(v.Parent(), v.Dir())...)
	if err != nil {
		return fmt.Errorf("mount %s: %w", v.name, err)
	}
	v.m.Store(m)
	return nil
}

// closeTime is for a volume to be closed: buffers have to reach the disk.
const closeTime = 2 * time.Minute

// Unmount unmounts the volume and returns when its process is gone: it is closed and clean then.
func (v *Volume) Unmount() error {
	m := v.m.Swap(nil)
	if m == nil {
		return nil
	}
	if err := m.close(); err != nil {
		return fmt.Errorf("unmount %s: %w", v.name, err)
	}
	return nil
}

// Stop implements Contender.
func (v *Volume) Stop() error { return errors.Join(v.Unmount(), os.RemoveAll(v.base)) }

// Refresh implements FileSystem.
func (v *Volume) Refresh(ctx context.Context) error { return errors.Join(v.Unmount(), v.Mount(ctx)) }

// GiveBack implements FileSystem by a reclaim; the original's is started and waited for by reading its special file.
func (v *Volume) GiveBack(ctx context.Context) error {
	if v.m.Load() == nil {
		return fmt.Errorf("reclaim %s: %w", v.name, errNotMounted)
	}
	_, err := v.Reclaim(ctx)
	return err
}

// Reclaim frees what no file refers to, of a mounted volume, and returns the CPU time of the command.
func (v *Volume) Reclaim(ctx context.Context) (time.Duration, error) {
	if v.tools.Reclaim == nil {
		_, err := os.ReadFile(filepath.Join(v.Dir(), ".ddumbfs", "reclaim"))
		return 0, err
	}
	_, cpu, err := command(ctx, nil, append(v.tools.Reclaim, v.Dir())...)
	return cpu, err
}

// Check runs fsck -c, or with hashes -C, and returns the CPU time it took. Findings are an error. The volume must not be mounted.
func (v *Volume) Check(ctx context.Context, hashes bool) (time.Duration, error) {
	letter := "-c"
	if hashes {
		letter = "-C"
	}
	_, cpu, err := command(ctx, nil, append(v.tools.Fsck, letter, v.Parent())...)
	return cpu, err
}

// CheckHashes is Check with hashes.
func (v *Volume) CheckHashes(ctx context.Context) (time.Duration, error) { return v.Check(ctx, true) }

// Scrub reads and proves all stored blocks, and returns the CPU time of the command. Bad blocks are an error. The volume must not be mounted. A program that has no such verb
// is ErrLacks.
func (v *Volume) Scrub(ctx context.Context) (time.Duration, error) {
	if v.tools.Scrub == nil {
		return 0, ErrLacks
	}
	_, cpu, err := command(ctx, nil, append(v.tools.Scrub, "--reset", v.Parent())...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitUsage {
		err = fmt.Errorf("%w: %w", ErrLacks, err)
	}
	return cpu, err
}

// CopyIn stores a file past the mount, and returns the CPU time of the command. Where the volume is mounted and the program cannot do that it
// is ErrLacks.
func (v *Volume) CopyIn(ctx context.Context, file, name string) (time.Duration, error) {
	_, cpu, err := command(ctx, nil, append(v.tools.Copy, file, v.stored(name))...)
	var exit *exec.ExitError
	if v.m.Load() != nil && errors.As(err, &exit) && exit.ExitCode() == exitBusy {
		err = fmt.Errorf("%w: %w", ErrLacks, err)
	}
	return cpu, err
}

// Exit codes of our programs: a verb or option that is not known, and a volume that somebody uses.
const (
	exitUsage = 2
	exitBusy  = 3
)

// CopyOut writes a stored file without the mount, and returns the CPU time of the command.
func (v *Volume) CopyOut(ctx context.Context, name, file string) (time.Duration, error) {
	_, cpu, err := command(ctx, nil, append(v.tools.Copy, v.stored(name), file)...)
	return cpu, err
}

func (v *Volume) stored(name string) string { return filepath.Join(v.Parent(), "ddfsroot", name) }

// Index is the size of the index file in bytes.
func (v *Volume) Index() (int64, error) {
	info, err := os.Stat(filepath.Join(v.Parent(), "ddfsidx"))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Stored is how many bytes of the disk the block file has.
func (v *Volume) Stored() (int64, error) {
	var st unix.Stat_t
	name := filepath.Join(v.Parent(), "ddfsblocks")
	if err := unix.Stat(name, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return st.Blocks * 512, nil
}

// IndexSize is how many bytes the index file has, which the process maps.
func (v *Volume) IndexSize() (int64, error) {
	info, err := os.Stat(filepath.Join(v.Parent(), "ddfsidx"))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// PeakMemory is the largest resident memory that its process had since it mounted the volume, in bytes.
func (v *Volume) PeakMemory() (int64, error) {
	m := v.m.Load()
	if m == nil {
		return 0, fmt.Errorf("memory of %s: %w", v.name, errNotMounted)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.server.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", v.name, err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("memory of %s: the kernel does not tell", v.name)
}

// Kill ends its process at once, so that calls that wait for its answer return; it may be called while something else is being done.
func (v *Volume) Kill() { kill(v.m.Load()) }
