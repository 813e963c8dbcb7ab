package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tresor/fs/transfer"
	"tresor/index"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/mkfs"
	"tresor/index/pack"
	"tresor/index/resize"
	"tresor/index/scrub"
)

// sourceDir is the volume that a migration copies from.
const sourceDir = "/source"

// toolOperations are those of a volume that is not mounted, and scrub.
func toolOperations() []operation {
	list := []operation{
		{name: "check", start: furnish, tool: true, run: check},
		{name: "scrub", start: furnish, open: true, loose: true, uneven: true, run: func(l *life) {
			l.step(func() error { _, err := scrub.Run(context.Background(), l.vol, scrub.Options{}); return err })
			l.write("big", 0, l.data(300, l.v.bs))
			l.step(func() error { _, err := scrub.Run(context.Background(), l.vol, scrub.Options{Reset: true}); return err })
		}},
		{name: "pack", start: holes, tool: true, run: packed},
		{name: "resize to more", start: furnish, tool: true, run: resized(resize.Options{Size: 300 << 10, Overflow: 1.5})},
		{name: "resize to less", start: holes, tool: true, run: func(l *life) {
			used := int64(45 * l.v.bs)
			resized(resize.Options{Size: used})(l)
		}},
		{name: "another index", left: "ddfsidx", start: furnish, tool: true, run: resized(resize.Options{Index: "/v/elsewhere"})},
		{name: "reinit", start: furnish, tool: true, run: reinit},
		{name: "copy in", chance: true, start: furnish, tool: true, run: copyIn},
		{name: "migrate by copying", chance: true, start: furnish, spoil: becomeSource, tool: true, run: migrate},
	}
	spoils := map[string]func(l *life){
		"after a kill": killed, "without index": noIndex, "with a blank index magic": blankMagic, "with a spoiled table": spoilTable,
		"with a header lost": noHeader, "with half an index": halfIndex,
	}
	for _, mode := range []fsck.Mode{fsck.Normal, fsck.Trusting, fsck.Rebuild, fsck.RebuildAll} {
		for _, name := range slices.Sorted(maps.Keys(spoils)) {
			list = append(list, operation{name: fmt.Sprintf("repair %v %s", mode, name), start: furnish, spoil: spoils[name], tool: true,
				lost: name == "with a header lost", run: repair(mode)})
		}
	}
	return list
}

func (l *life) acquire(dir string, mode index.Mode) (*index.Parent, error) {
	return index.Acquire(index.Location{FS: l.d, Parent: dir}, mode)
}

func check(l *life) {
	l.step(func() error {
		p, err := l.acquire(volumeDir, index.Read)
		if err != nil {
			return err
		}
		defer p.Close()
		v := fsck.Of(p)
		if err := v.LoadState(); err != nil {
			return err
		}
		sum, err := fsck.Check(context.Background(), v, fsck.CheckOptions{Hashes: true})
		if err == nil && sum.Status() != fsck.OK {
			err = fmt.Errorf("check: %s", sum.StatusText())
		}
		return err
	})
}

// repair runs one, and counts as reported what its result says.
func repair(mode fsck.Mode) func(l *life) {
	return func(l *life) {
		l.step(func() error { return l.repair(mode) })
	}
}

func (l *life) repair(mode fsck.Mode) error {
	p, err := l.acquire(volumeDir, index.Write)
	if err != nil {
		return err
	}
	v := fsck.Of(p)
	if err := v.LoadState(); err != nil {
		return errors.Join(err, p.Close())
	}
	res, err := fsck.Repair(context.Background(), v, fsck.RepairOptions{Mode: mode})
	if err == nil && (res.Incomplete || res.Unreadable > 0) {
		err = errors.New("repair: files or blocks could not be read")
	}
	return errors.Join(err, p.Close())
}

func packed(l *life) {
	l.step(func() error {
		p, err := l.acquire(volumeDir, index.Write)
		if err != nil {
			return err
		}
		_, err = pack.Run(context.Background(), p, pack.Options{})
		return errors.Join(err, p.Close())
	})
}

func resized(o resize.Options) func(l *life) {
	o.Pack = func(ctx context.Context, p *index.Parent) error {
		_, err := pack.Run(ctx, p, pack.Options{})
		return err
	}
	o.Batch = 500
	return func(l *life) {
		l.step(func() error {
			p, err := l.acquire(volumeDir, index.Write)
			if err != nil {
				return err
			}
			_, err = resize.Run(context.Background(), p, o)
			return errors.Join(err, p.Close())
		})
	}
}

// reinit makes a new, empty volume of the old one: from some moment on all files are gone, and none of them is there in part.
func reinit(l *life) {
	for _, s := range l.files {
		s.add(nil, l.ops())
	}
	l.step(func() error {
		_, err := mkfs.Reinit(context.Background(), mkfs.ReinitOptions{FS: l.d, Parent: volumeDir})
		if err == nil {
			for _, s := range l.files {
				s.keep(len(s.versions)-1, l.ops())
			}
		}
		return err
	})
}

// offline runs do with the open volume, which is repaired first if it has to be, and closes it.
func (l *life) offline(do func() error) {
	l.step(func() error {
		if err := l.mount(); err != nil {
			return err
		}
		err := do()
		return errors.Join(err, l.m.Close(), func() error { v := l.vol; l.vol = nil; return v.Close() }())
	})
}

func copyIn(l *life) {
	l.offline(func() error {
		t := transfer.NewTarget(l.vol, -1)
		for i, name := range []string{"big", "new", "twin"} {
			data := l.data(400+i, (i+2)*l.v.bs+i*7)
			l.begin(name, data)
			if _, err := t.CopyIn(context.Background(), name, transfer.FromReader(bytes.NewReader(data)), transfer.InOptions{Verify: i == 0}); err != nil {
				return errors.Join(err, t.Close())
			}
			l.files[name].keep(len(l.files[name].versions)-1, l.ops())
		}
		return t.Close()
	})
}

// begin notes that a file may get a content as a whole from now on.
func (l *life) begin(name string, data []byte) {
	if l.files[name] == nil {
		l.files[name] = &story{versions: []version{{}}}
	}
	l.files[name].add(data, l.ops())
}

func migrate(l *life) {
	l.step(func() error {
		src, err := l.acquire(sourceDir, index.Read)
		if err != nil {
			return err
		}
		defer src.Close()
		v := indextest.Describe(l.t, l.d.Clone(), sourceDir)
		for _, name := range v.Files() {
			data, err := v.ReadFile(name)
			if err != nil {
				return err
			}
			l.begin(name, data)
		}
		l.offline(func() error {
			_, err := transfer.CopyTree(context.Background(), src, l.vol, transfer.TreeOptions{Workers: -1})
			return err
		})
		return l.err
	})
	if l.err == nil {
		for _, s := range l.files {
			s.keep(len(s.versions)-1, l.ops())
		}
	}
}
