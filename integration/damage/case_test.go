package damage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tresor/index"
	"tresor/index/alter"
	"tresor/index/blockfile"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indexfile"
)

// longest is how long a case may take: far more than any does, and a hang ends there.
const longest = time.Minute

// step is one kind of damage, drawn from a seed of its own.
type step struct {
	kind alter.Kind
	n    int
	seed uint64
}

// plan is what a case does: to a volume left in some state, with what mode of repair.
type plan struct {
	base  int            // which volume
	mark  indexfile.Mark // how it was left; see unclean
	left  bool           // not cleanly closed, with the mark
	mode  fsck.Mode      // of the repair
	force bool           // go on with force where the repair refuses, before the missing part is put back
	steps []step
	flip  flipped // instead of steps, if it names a file
}

// draw makes a plan of a seed.
func draw(seed uint64, volumes int) (p plan) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	p = plan{base: rnd.IntN(volumes), force: rnd.IntN(2) == 0}
	switch rnd.IntN(8) {
	case 0, 1:
		p.left, p.mark = true, indexfile.MarkSession
	case 2:
		p.left = true
	}
	p.mode = []fsck.Mode{fsck.Normal, fsck.Normal, fsck.Normal, fsck.Normal, fsck.Trusting, fsck.Rebuild, fsck.RebuildAll}[rnd.IntN(7)]
	all := append(alter.Kinds(), alter.Shake)
	for range 1 + rnd.IntN(4) {
		p.steps = append(p.steps, step{all[rnd.IntN(len(all))], 1 + rnd.IntN(6), rnd.Uint64()})
	}
	return p
}

// trial is one case: a plan, and what came of it.
type trial struct {
	plan
	b    *base
	name string // the seed, or what a kept case is about
	m    *disktest.FS
	ctx  context.Context

	damages  []string
	refused  []string // repairs that said why they cannot go on
	rebuilt  bool     // the volume needed all its blocks hashed
	out      outcome
	problems []string
}

func (c *trial) fail(text string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(text, args...))
}

func (c *trial) String() string {
	return fmt.Sprintf("%s, volume %s, mode %v\n  plan: %#v\n  damages: %s\n  refused: %s\n  problems: %s", c.name, c.b.name, c.mode, c.plan,
		strings.Join(c.damages, "\n           "), strings.Join(c.refused, "\n           "), strings.Join(c.problems, "\n            "))
}

// runTrial is one case from the damage to the verdict. Only the plan decides what it does.
func runTrial(b *base, name string, pl plan) *trial {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	c := &trial{plan: pl, b: b, name: name, m: b.disk.Clone(), ctx: ctx}
	if err := c.damage(); err != nil {
		c.fail("damage: %v", err)
		return c
	}
	c.before()
	c.prove()
	return c
}

// damage does what the plan asks for, one kind after the other, each on what the one before left.
func (c *trial) damage() error {
	if c.left {
		if err := indexfile.WriteMark(c.m, at, c.mark); err != nil {
			return err
		}
	}
	if c.flip.file != "" {
		return c.flip.do(c.m)
	}
	p, err := index.Acquire(index.Location{FS: c.m, Parent: at}, index.Write)
	if err != nil {
		return err
	}
	defer p.Close()
	for _, s := range c.steps {
		pl := alter.New(p, s.seed)
		err := error(nil)
		if s.kind == alter.Shake {
			err = pl.ShakeAny(c.ctx)
		} else {
			err = pl.Add(c.ctx, s.kind, s.n)
		}
		if err != nil && !errors.Is(err, alter.ErrNothing) {
			return err
		}
		if err := pl.Apply(); err != nil {
			return err
		}
		for _, d := range pl.Damages() {
			c.damages = append(c.damages, d.String())
		}
	}
	return nil
}

// prove repairs the volume and holds what comes out against the promise.
func (c *trial) prove() {
	p, o := c.repaired()
	if p == nil {
		return
	}
	defer p.Close()
	if c.mode == fsck.Trusting {
		// It does not look at what the files say, so that nothing is promised but that it does no harm: the rebuild finds everything.
		c.compare(p, o, everything)
		c.again(p, c.mode)
	} else {
		c.compare(p, o, c.unseen(o))
		c.again(p, c.mode)
		if c.check(p, c.decays()) {
			return
		}
	}
	c.rebuilt = true
	if _, err := c.repair(p, fsck.RebuildAll, false); err != nil {
		c.fail("rebuild: %v", err)
		return
	}
	c.compare(p, o, nil)
	c.again(p, fsck.Normal)
	c.check(p, nil)
}

// repaired repairs the volume. Where a repair is refused, it must say so and leave the files alone; then the missing part is put
// back and the next one must do; the last one at the latest is forced. It returns what was expected before the last one; nil if it could not be done.
func (c *trial) repaired() (*index.Parent, *oracle) {
	const tries = 4
	for try := range tries {
		p, err := index.Acquire(index.Location{FS: c.m, Parent: at}, index.Write)
		if err != nil {
			c.refused = append(c.refused, err.Error())
			if err := putFile(c.m, filepath.Join(at, format.ConfigName), c.b.config); err != nil {
				c.fail("%v", err)
				return nil, nil
			}
			continue
		}
		o, err := c.attempt(p, c.force || try == tries-1)
		if err == nil {
			return p, o
		}
		p.Close()
		c.refused = append(c.refused, err.Error())
		if err := c.putBack(p); err != nil {
			c.fail("%v", err)
			return nil, nil
		}
	}
	c.fail("the repair is refused, and everything it needs is there")
	return nil, nil
}

// attempt is one repair, with force if it is refused and that is wanted. A refused one leaves the files alone.
func (c *trial) attempt(p *index.Parent, force bool) (*oracle, error) {
	before, err := image(c.m)
	if err != nil {
		return nil, err
	}
	o, err := judge(c.b, c.m, []byte(before[filepath.Base(p.BlocksPath)]))
	if err != nil {
		return nil, err
	}
	if _, err = c.repair(p, c.mode, false); err == nil {
		return o, nil
	}
	c.untouched(before)
	if !force {
		return nil, err
	}
	c.refused = append(c.refused, err.Error())
	if _, err = c.repair(p, c.mode, true); err != nil {
		c.untouched(before)
	}
	return o, err
}

func (c *trial) repair(p *index.Parent, mode fsck.Mode, force bool) (*fsck.Result, error) {
	v := fsck.Of(p)
	if err := v.LoadState(); err != nil {
		return nil, err
	}
	return fsck.Repair(c.ctx, v, fsck.RepairOptions{Mode: mode, Force: force})
}

// untouched holds the underlying files against what they were.
func (c *trial) untouched(before map[string]string) {
	after, err := image(c.m)
	if err != nil {
		c.fail("%v", err)
		return
	}
	for path, was := range before {
		if now, ok := after[path]; strings.HasPrefix(path, format.RootName) && (!ok || now != was) {
			c.fail("the repair was refused, and %s is changed", path)
		}
	}
}

// putBack gives the volume what the refused repair lacked: its configuration, a header of its block file, or the whole block file.
func (c *trial) putBack(p *index.Parent) error {
	config, err := fileContent(c.m, p.Path(format.ConfigName))
	if err != nil {
		return err
	}
	if string(config) != string(c.b.config) {
		return putFile(c.m, p.Path(format.ConfigName), c.b.config)
	}
	blocks, err := fileContent(c.m, p.BlocksPath)
	if err == nil && len(blocks) == len(c.b.blocks) {
		return blockfile.Repair(c.m, p.BlocksPath, c.b.g)
	}
	return putFile(c.m, p.BlocksPath, c.b.blocks)
}

func (c *trial) compare(p *index.Parent, o *oracle, excused func(format.Address) bool) {
	s, err := openServed(p, c.m)
	if err != nil {
		c.fail("open repaired volume: %v", err)
		return
	}
	defer s.blocks.Close()
	out, problems := o.compare(s, excused)
	c.out = out
	c.problems = append(c.problems, problems...)
	if excused != nil {
		return
	}
	x, err := indexfile.Open(c.m, p.IndexPath, p.Config, indexfile.Options{ReadOnly: true})
	if err != nil {
		c.fail("open repaired volume: %v", err)
		return
	}
	defer x.Close()
	c.problems = append(c.problems, o.heldBy(s, x)...)
}

// again repairs once more: nothing may change.
func (c *trial) again(p *index.Parent, mode fsck.Mode) {
	before, err := image(c.m)
	if err != nil {
		c.fail("%v", err)
		return
	}
	if _, err := c.repair(p, mode, false); err != nil {
		c.fail("second repair: %v", err)
		return
	}
	after, err := image(c.m)
	if err != nil {
		c.fail("%v", err)
		return
	}
	for path, was := range before {
		if now, ok := after[path]; !ok || now != was {
			c.fail("the second repair changes %s", path)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			c.fail("the second repair creates %s", path)
		}
	}
}

// decays tells which findings of the check a repair may leave: none, or blocks whose content changed while they were at rest. A block file that
// was cut and then grew again (a power cut writes behind its end) holds zeros in between.
func (c *trial) decays() []fsck.Kind {
	for _, s := range c.steps {
		if slices.Contains([]alter.Kind{alter.FlipBlock, alter.BlocksTruncate, alter.BlocksEmpty}, s.kind) && !c.mode.Rebuilds() {
			return []fsck.Kind{fsck.BlockContent}
		}
	}
	if c.flip.file == format.DefaultBlocksName && !c.mode.Rebuilds() {
		return []fsck.Kind{fsck.BlockContent}
	}
	return nil
}

// unseen tells which blocks a repair had no reason to hash although their content has changed; nil where there are none.
func (c *trial) unseen(o *oracle) func(format.Address) bool {
	if c.decays() == nil {
		return nil
	}
	return func(a format.Address) bool { return o.changed[a] }
}

func everything(format.Address) bool { return true }

// check is the check of all hashes: it finds nothing but what is lost; false where it finds decay as well.
func (c *trial) check(p *index.Parent, allowed []fsck.Kind) (sound bool) {
	v := fsck.Of(p)
	if err := v.LoadState(); err != nil {
		c.fail("%v", err)
		return true
	}
	var findings []fsck.Finding
	sum, err := fsck.Check(c.ctx, v, fsck.CheckOptions{Hashes: true, Found: func(f fsck.Finding) { findings = append(findings, f) }})
	if err != nil {
		c.fail("check: %v", err)
		return true
	}
	if sum.Status() != fsck.Errors {
		return true
	}
	sound = true
	for _, f := range findings {
		switch {
		case slices.Contains(allowed, f.Kind):
			sound = false
		case f.Kind != fsck.FileLost && f.Kind != fsck.FileHeader:
			c.fail("the check finds after the repair: %v", f)
		}
	}
	return sound
}
