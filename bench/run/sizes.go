package run

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"tresor/bench/workload"
)

const (
	fewData   = 256 << 20 // bytes of data at least, however small the cache is
	dataStep  = 64 << 20
	imageSize = 256 << 20 // of files; the image has half as much room more
)

// sizes are chosen for the machine: data of more than four times its last-level cache, and less only where memory or room are short, which skipped is
// told.
func (o *Options) sizes(skipped func(what, why string)) (workload.Sizes, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(o.Dir, &disk); err != nil {
		return workload.Sizes{}, fmt.Errorf("statfs %s: %w", o.Dir, err)
	}
	free := int64(disk.Bavail) * disk.Bsize
	room := min(o.Space, free*9/10)
	if n := smallBytes(o.Files); n > room {
		return workload.Sizes{}, fmt.Errorf("room below %s: have %d bytes, %d small files need %d", o.Dir, room, o.Files, n)
	}
	if o.Quick {
		s := workload.Sizes{Data: 16 << 20, Image: 16 << 20, Random: 16 << 20, Small: o.Files, Timed: 100 * time.Millisecond, Hash: 2 * time.Millisecond,
			Overwriting: overwriting}
		s.Overwrites = overwrites(s.Random)
		if need(s, len(o.Programs)) > room {
			return s, fmt.Errorf("room below %s: have %d bytes, want %d", o.Dir, room, need(s, len(o.Programs)))
		}
		return s, nil
	}
	s := workload.Sizes{Image: imageSize, Random: 1 << 30, Small: o.Files, Timed: 600 * time.Millisecond, Hash: 60 * time.Millisecond,
		Overwriting: overwriting}
	s.Overwrites = overwrites(s.Random)
	want := max(fewData, (4*workload.LastLevelCache()/dataStep+1)*dataStep)
	s.Data = min(want, memory()/8/dataStep*dataStep)
	for s.Data > dataStep && need(s, len(o.Programs)) > room {
		s.Data -= dataStep
		s.Random = min(s.Random, s.Data)
		s.Image = min(s.Image, s.Data)
		s.Overwrites = overwrites(s.Random)
	}
	if s.Data < dataStep || need(s, len(o.Programs)) > room {
		return s, fmt.Errorf("memory and room: too little to measure with %d MiB of data", dataStep>>20)
	}
	if s.Data < want {
		skipped("data of four times the last-level cache", fmt.Sprintf("there is memory or room for %d of %d MiB only", s.Data>>20, want>>20))
	}
	return s, nil
}

// overwriting is more than any disk but a very slow one takes for the overwrites: as a rule their number ends them.
const overwriting = 20 * time.Second

// overwrites of 4 KiB are a sixteenth of the file's bytes: 16 384 in 1 GiB, two for each of its blocks.
func overwrites(random int64) int { return int(random / 16 / (4 << 10)) }

// smallBytes is the room that so many files of up to 4 KiB, with their names and lists of blocks, take below a volume at most.
func smallBytes(files int) int64 { return int64(files) * 4096 * 3 }

// need is how many bytes of the disk a run has at most at one time, with so many programs.
func need(s workload.Sizes, programs int) int64 {
	volumes := int64(programs) + 1 // the original may be there
	kept := (2+volumes)*s.Data + (3+volumes)*s.Random + 3*s.Image
	// At one time one of: new data of a volume, a visiting volume, archives, blocks that random writes have left (one each at most), small files.
	passing := max(2*s.Data, 5*s.Image, int64(s.Overwrites)*mainBlock, smallBytes(s.Small))
	return kept + passing
}

func memory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 1 << 30
	}
	return int64(info.Totalram) * int64(info.Unit)
}
