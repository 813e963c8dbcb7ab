package run

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"tresor/bench/contender"
	"tresor/bench/workload"
)

const mainBlock = 128 << 10

// field puts the contenders together, below base.
func (o *Options) field(base string, sizes workload.Sizes, skipped func(what, why string)) (*workload.Lab, error) {
	l := &workload.Lab{Sizes: sizes, Scratch: filepath.Join(base, "scratch")}
	if err := os.Mkdir(l.Scratch, 0o755); err != nil {
		return nil, err
	}
	l.Systems = []contender.FileSystem{
		contender.NewRaw(filepath.Join(base, "raw")),
		contender.NewServed(contender.Null, o.Program, filepath.Join(base, contender.Null)),
		contender.NewServed(contender.Loopback, o.Program, filepath.Join(base, contender.Loopback)),
	}
	volume := func(label, place string, tools contender.Tools, hash string, block int, size int64) *contender.Volume {
		return contender.NewVolume(contender.VolumeOptions{Name: label + "-" + hash, Base: filepath.Join(base, place), Tools: tools, Hash: hash,
			BlockSize: block, Size: size})
	}
	size := o.volumeSize(sizes)
	for i, p := range o.Programs {
		tools, place := contender.Ours(p.Path), fmt.Sprintf("volume-%d", i)
		l.Systems = append(l.Systems, volume(p.Label, place, tools, "BLAKE3", mainBlock, size))
		l.Empty = append(l.Empty, volume(p.Label, "empty", tools, "BLAKE3", mainBlock, size))
		if !o.Quick {
			l.Huge = append(l.Huge, volume(p.Label, "huge", tools, "BLAKE3", mainBlock, 1<<40))
		}
		l.Archives = append(l.Archives, contender.NewCopies(contender.VolumeOptions{Name: p.Label + "-cp", Base: filepath.Join(base, "copies"), Tools: tools,
			Hash: "BLAKE3", BlockSize: mainBlock, Size: size}))
		for _, block := range workload.BlockSizes() {
			for _, hash := range workload.HashNames() {
				if o.visits(hash, block) {
					l.Visitors = append(l.Visitors, volume(p.Label, "visitor", tools, hash, block, size))
				}
			}
		}
	}
	o.peers(l, base, skipped)
	if o.Original == "" {
		return l, nil
	}
	original, err := contender.Original(o.Original)
	if err != nil {
		skipped("original", err.Error())
		return l, nil
	}
	l.Systems = append(l.Systems, volume("original", "original", original, "TIGER", mainBlock, size))
	if o.All {
		for _, block := range workload.BlockSizes() {
			if block != mainBlock {
				l.Visitors = append(l.Visitors, volume("original", "visitor", original, "TIGER", block, size))
			}
		}
		l.Visitors = append(l.Visitors, volume("original", "visitor", original, "SHA1", mainBlock, size))
	}
	return l, nil
}

// visits tells whether a volume of that kind is measured beside that of 128 KiB and BLAKE3: by default those that differ in one of the two.
func (o *Options) visits(hash string, block int) bool {
	switch {
	case block == mainBlock && hash == "BLAKE3":
		return false
	case o.All:
		return true
	case o.Quick:
		return block == mainBlock && hash == "TIGER" || block == 4<<10 && hash == "BLAKE3"
	}
	return block == mainBlock || hash == "BLAKE3"
}

// volumeSize has room for all that is ever in a volume at one time, several times; it takes no room of the disk before it is used.
func (o *Options) volumeSize(s workload.Sizes) int64 { return 8*s.Data + 4*s.Random + 8*s.Image }

// peers are the programs of others that are installed.
func (o *Options) peers(l *workload.Lab, base string, skipped func(what, why string)) {
	list := []contender.Archive{contender.NewBorg(filepath.Join(base, "borg")), contender.NewRestic(filepath.Join(base, "restic"))}
	for _, p := range list {
		if o.Quick {
			skipped(p.Name(), "left out with --quick")
		} else if _, err := exec.LookPath(p.Name()); err != nil {
			skipped(p.Name(), "not installed")
		} else {
			l.Archives = append(l.Archives, p)
		}
	}
}

// item is a contender doing a workload.
type item struct {
	w *workload.Workload
	c contender.Contender
}

func (i item) name() string { return i.w.Name + " " + i.c.Name() }

// items are the workloads with those contenders that are asked for, in the order of a round.
func (o *Options) items(list []workload.Workload) (items [][]item) {
	for i := range list {
		w := &list[i]
		var row []item
		for _, c := range w.Contenders {
			if slices.ContainsFunc(w.Series, func(s string) bool { return o.wants(s, c.Name()) }) {
				row = append(row, item{w, c})
			}
		}
		if len(row) > 0 {
			items = append(items, row)
		}
	}
	return items
}

// wantsImages tells whether anything is asked for that stores the file system images, which take long to make.
func (o *Options) wantsImages(l *workload.Lab) bool {
	var list []contender.Contender
	for _, c := range l.Systems {
		list = append(list, c)
	}
	for _, c := range l.Archives {
		list = append(list, c)
	}
	return slices.ContainsFunc(list, func(c contender.Contender) bool {
		return slices.ContainsFunc(workload.ImageSeries(), func(s string) bool { return o.wants(s, c.Name()) })
	})
}
