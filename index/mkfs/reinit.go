package mkfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tresor/index/disk"
	"tresor/index/format"
	"tresor/index/progress"
)

// ReinitOptions say how a volume is made new.
type ReinitOptions struct {
	// FS is the disk to work on; nil means the operating system's.
	FS disk.FS
	// Parent is the directory that holds the volume; no directory above it is looked for.
	Parent string
	// Change turns the options of the old volume into those of the new one; nil keeps them. It is not called when an unfinished reinit
	// goes on: that has its options already.
	Change func(*format.CreateOptions)
	// Force goes over files and devices at the places of index and block file that are not known to be this volume's own.
	Force bool
	// DryRun finds out what would be done, and changes nothing.
	DryRun bool
	// Confirm is told what will be lost, before anything changes; an error ends it there. It is not called when an unfinished reinit goes
	// on that has begun to remove. Nil agrees.
	Confirm func(*Loss) error
	// Progress takes the state of the stages; may be nil.
	Progress progress.Func
}

// Renewed says what a reinit did, or would do.
type Renewed struct {
	*Result
	Loss    Loss
	Resumed bool // an unfinished reinit was gone on with, and of Loss only Outside is known
}

// ErrNoVolume is the cause where there is no volume to be made new. It matches fs.ErrNotExist.
var ErrNoVolume = fmt.Errorf("there is no volume: %w", fs.ErrNotExist)

// Reinit makes a new, empty volume in place of an old one; what there is afterwards is, byte for byte, what Make would make. Other files
// of the parent directory stay. The steps, and what a crash after each leaves:
//
//  1. plan: everything is checked. Nothing changed.
//  2. the new configuration is written to .ddfsreinit, durably. A crash leaves the old volume, whole; all tools refuse it and say
//     that reinit goes on, which asks once more.
//  3. the old configuration is removed, durably; then everything else of the old volume. Reinit goes on with that, without a question.
//  4. index, block file and tree are made, durably, and .ddfsreinit says so.
//  5. the configuration is written, and .ddfsreinit removed. A crash in between leaves the new volume; only the file has to go.
//
// Errors are those of Make, and ErrNoVolume.
func Reinit(ctx context.Context, o ReinitOptions) (*Renewed, error) {
	if o.FS == nil {
		o.FS = disk.OS()
	}
	m := &maker{o: Options{FS: o.FS, Parent: o.Parent, Force: true, Progress: o.Progress}, fs: o.FS, stopped: ctx.Err}
	r, err := m.renew(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("make volume in %s anew: %w", o.Parent, err)
	}
	return r, nil
}

func (m *maker) renew(ctx context.Context, o ReinitOptions) (r *Renewed, err error) {
	lock, err := m.own()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	old, err := m.exists(m.path(format.ConfigName))
	if err != nil {
		return nil, err
	}
	begun, err := m.loadRenewal()
	switch {
	case old != nil && (begun == nil || begun.stage == clearing):
		// Nothing is gone yet, whatever was begun; a file that was damaged cannot say otherwise, as it is written whole.
		return m.beginRenewal(ctx, o)
	case err != nil:
		return nil, err
	case begun == nil:
		return nil, ErrNoVolume
	}
	m.re = begun
	m.re.over = o.Force
	return m.goOn(o, old != nil)
}

// beginRenewal makes a volume new from the start.
func (m *maker) beginRenewal(ctx context.Context, o ReinitOptions) (_ *Renewed, err error) {
	old, err := m.readConfig(m.path(format.ConfigName))
	if err != nil {
		return nil, err
	}
	m.o.CreateOptions = format.CreateOptions{Hash: old.Hash, Size: old.PartitionSize, BlockSize: old.BlockSize, Overflow: old.Overflow,
		ReuseASAP: old.ReuseASAP, IndexFilename: old.IndexFilename, BlockFilename: old.BlockFilename}
	if o.Change != nil {
		o.Change(&m.o.CreateOptions)
	}
	m.re = &renewal{oldIndex: m.resolve(old.IndexFilename), oldBlock: m.resolve(old.BlockFilename), over: o.Force}
	m.re.own(m.re.oldIndex, m.re.oldBlock)
	if err := m.plan(); err != nil {
		return nil, err
	}
	m.r.Left = nil
	m.re.config = m.r.Config
	res := &Renewed{Result: &m.r}
	if res.Loss, err = m.loss(ctx, old); err != nil {
		return nil, err
	}
	if o.DryRun {
		return res, nil
	}
	if o.Confirm != nil {
		if err := o.Confirm(&res.Loss); err != nil {
			return nil, err
		}
	}
	release, err := m.lockFiles()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := m.store(clearing); err != nil {
		return nil, err
	}
	return res, m.replace()
}

// goOn finishes a reinit that has removed something; config tells that the new configuration is there.
func (m *maker) goOn(o ReinitOptions, config bool) (_ *Renewed, err error) {
	c := m.re.config
	m.r.Config, m.r.SizeFrom = c, SizeGiven
	m.r.IndexPath, m.r.BlocksPath = m.resolve(c.IndexFilename), m.resolve(c.BlockFilename)
	res := &Renewed{Result: &m.r, Resumed: true, Loss: Loss{Outside: m.outside()}}
	if o.DryRun {
		return res, nil
	}
	if m.re.stage == made {
		return res, m.finish(!config)
	}
	m.re.own(m.re.oldIndex, m.re.oldBlock, m.r.IndexPath, m.r.BlocksPath)
	m.o.CreateOptions = format.CreateOptions{Hash: c.Hash, Size: c.PartitionSize, BlockSize: c.BlockSize, Overflow: c.Overflow,
		ReuseASAP: c.ReuseASAP, IndexFilename: c.IndexFilename, BlockFilename: c.BlockFilename}
	m.re.resumed = true
	if err := m.plan(); err != nil {
		return nil, err
	}
	release, err := m.lockFiles()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	return res, m.replace()
}

// replace removes the old volume and makes the new one.
func (m *maker) replace() error {
	if err := m.clear(); err != nil {
		return err
	}
	if err := m.removeOld(); err != nil {
		return err
	}
	if err := m.create(); err != nil {
		return err
	}
	if err := m.store(made); err != nil {
		return err
	}
	return m.finish(true)
}

// finish writes the configuration, unless it is there, and takes .ddfsreinit away.
func (m *maker) finish(config bool) error {
	if config {
		if err := m.writeConfig(); err != nil {
			return err
		}
	}
	if err := m.remove(format.ReinitName); err != nil {
		return err
	}
	return m.fs.SyncDir(m.r.Dir)
}
