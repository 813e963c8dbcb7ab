package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tresor/bench/contender"
	"tresor/bench/result"
)

const request = 1 << 20 // bytes of a write or read

// Value is one measured number.
type Value struct {
	Series string
	Unit   result.Unit
	Value  float64
	CPU    float64 // seconds of all processes that did the work, 0 if unknown
	Note   string  // what the record has to say about it, "" as a rule
}

// Workload is something that contenders do, once each round.
type Workload struct {
	// Name is for messages, Series are the names of what a call of Run yields.
	Name   string
	Series []string
	// Rank says how soon it is left out where time is short: 0 last.
	Rank int
	// Once is for what a run measures a single time.
	Once bool
	// Contenders that stay mounted (Lab.Systems) have to be started before; all others are started by Run and gone after it.
	Contenders []contender.Contender
	Run        func(ctx context.Context, c contender.Contender) ([]Value, error)
}

// Sizes of what is done.
type Sizes struct {
	Data   int64 // bytes of data of the streaming workloads, a multiple of 64 MiB, or of 4 MiB if smaller
	Image  int64 // bytes of files in the file system image
	Random int64 // bytes of the file for 4 KiB requests
	Small  int   // small files
	// Timed is how long workloads run that have no end of their own, Hash the same for one hash and block size.
	Timed, Hash time.Duration
	// Overwrites of 4 KiB at random are done by all contenders, so that the sync at the end has the same work for all. One that would take longer than Overwriting for
	// them is stopped then, which its Note says; what has to reach the disk takes as long as it takes.
	Overwrites  int
	Overwriting time.Duration
}

// Lab is where the workloads are done: contenders, data, and a directory for files beside them.
type Lab struct {
	Sizes Sizes
	// Scratch is an existing directory of the disk's file system.
	Scratch string
	// Systems are the contenders that stay mounted. Volumes among them have blocks of 128 KiB.
	Systems []contender.FileSystem
	// Visitors are volumes of other kinds than those of Systems, Empty such as those, Huge have 1 TiB.
	Visitors, Empty, Huge []*contender.Volume
	Archives              []contender.Archive

	source   *Source
	images   *images
	prepared map[string]bool
	spent    time.Duration // for preparations
	unique   uint64        // stamps used so far
}

// Prepare makes the data and touches its memory. skipped is told what cannot be made and why.
func (l *Lab) Prepare(ctx context.Context, skipped func(what, why string)) error {
	l.prepared = map[string]bool{}
	source, err := NewSource(l.Sizes.Data)
	if err != nil {
		return err
	}
	l.source = source
	if l.Sizes.Image == 0 {
		return nil
	}
	l.images, err = makeImages(ctx, l.Scratch, l.Sizes.Image)
	if errors.Is(err, errNoImage) {
		skipped("vm-first, vm-next, archive-*", err.Error())
		return nil
	}
	return err
}

// Close frees the memory; the files go with the directory.
func (l *Lab) Close() error {
	err := l.images.close()
	if l.source != nil {
		err = errors.Join(err, l.source.close())
	}
	return err
}

// once does what a contender needs before its first sample of a kind.
func (l *Lab) once(c contender.Contender, what string, do func() error) error {
	key := what + " " + c.Name()
	if v, ok := c.(contender.FileSystem); ok {
		key += " " + v.Dir()
	}
	if l.prepared[key] {
		return nil
	}
	start := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("prepare %s: %w", what, err)
	}
	l.spent += time.Since(start)
	l.prepared[key] = true
	return nil
}

// Prepared is how much time went into what contenders need once, so far.
func (l *Lab) Prepared() time.Duration { return l.spent }

// forget has once do everything anew for a contender that was removed.
func (l *Lab) forget(c contender.FileSystem) {
	for key := range l.prepared {
		if len(key) > len(c.Dir()) && key[len(key)-len(c.Dir()):] == c.Dir() {
			delete(l.prepared, key)
		}
	}
}

// Timing is how long something took.
type timing struct {
	wall, cpu float64 // seconds
}

// measure times do, after what was written before has come to rest. The CPU time is that of this process, of the contender's, and of commands: do
// returns theirs.
func (l *Lab) measure(c contender.Contender, do func() (time.Duration, error)) (t timing, err error) {
	if err := l.settle(); err != nil {
		return t, err
	}
	served := func() time.Duration {
		if s, ok := c.(contender.FileSystem); ok {
			return s.CPU()
		}
		return 0
	}
	before, own := served(), ownCPU()
	start := time.Now()
	commands, err := do()
	t.wall = time.Since(start).Seconds()
	t.cpu = max(0, (served() - before + ownCPU() - own + commands).Seconds())
	return t, err
}

// alone is for work that needs no command.
func alone(do func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) { return 0, do() }
}

func (t timing) rate(series string, bytes int64) Value {
	return Value{Series: series, Unit: result.BytesPerSecond, Value: float64(bytes) / t.wall, CPU: t.cpu}
}

func (t timing) operations(series string, n float64) Value {
	return Value{Series: series, Unit: result.OperationsPerSecond, Value: n / t.wall, CPU: t.cpu}
}

func (t timing) seconds(series string) Value {
	return Value{Series: series, Unit: result.Seconds, Value: t.wall, CPU: t.cpu}
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// settle brings everything on the disk's file system to rest.
func (l *Lab) settle() error {
	d, err := os.Open(l.Scratch)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", l.Scratch, err)
	}
	return nil
}

// What the kernel drops of its caches.
const (
	dropContent = "1"
	dropNames   = "2"
	dropAll     = "3"
)

func (l *Lab) drop(what string) error {
	if err := l.settle(); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte(what), 0); err != nil {
		return fmt.Errorf("drop caches: %w", err)
	}
	return nil
}

// systems are the mounted contenders that pass the test.
func (l *Lab) systems(pass func(contender.FileSystem) bool) (list []contender.Contender) {
	for _, s := range l.Systems {
		if pass(s) {
			list = append(list, s)
		}
	}
	return list
}

// asContenders are volumes that their workload starts.
func asContenders(list []*contender.Volume) (all []contender.Contender) {
	for _, v := range list {
		all = append(all, v)
	}
	return all
}

func isRaw(c contender.FileSystem) bool      { _, ok := c.(*contender.Raw); return ok }
func isNull(c contender.FileSystem) bool     { return c.Name() == contender.Null }
func isVolume(c contender.FileSystem) bool   { return c.BlockSize() > 0 }
func keeps(c contender.FileSystem) bool      { return c.Keeps() }
func notRawDisk(c contender.FileSystem) bool { return isNull(c) || isVolume(c) }

// isOurs is a volume that our programs serve.
func isOurs(c contender.FileSystem) bool {
	v, ok := c.(*contender.Volume)
	return ok && !v.Original()
}

// label is a contender that needs neither start nor stop, such as a hash.
type label string

func (l label) Name() string                { return string(l) }
func (l label) Start(context.Context) error { return nil }
func (l label) Stop() error                 { return nil }

// Workloads returns all of them in the order in which a round does them. Those without contenders are left out.
func (l *Lab) Workloads() []Workload {
	list := slices.Concat(l.hashes(), l.writes(), l.reads(), l.random(), l.smallFiles(), l.upkeep(), l.visits(), l.archives())
	return slices.DeleteFunc(list, func(w Workload) bool { return len(w.Contenders) == 0 })
}

// short is a size as series have it: 4k, 128k, 1M.
func short(n int) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%dM", n>>20)
	}
	return fmt.Sprintf("%dk", n>>10)
}
