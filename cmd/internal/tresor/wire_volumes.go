package tresor

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"tresor/cmd/internal/mounted"
	"tresor/index"
	"tresor/index/format"
	"tresor/orchestrator/config"
	"tresor/orchestrator/disk"
	"tresor/orchestrator/job"
	"tresor/orchestrator/service"
	"tresor/orchestrator/volume"
)

// volumes are the disks of a configuration, as the loop sees them.
type volumes struct {
	a *app
	m *volume.Manager
}

func (a *app) newVolumes(c *config.Config) (*volumes, error) { return a.openVolumes(c, false) }

// openVolumes is newVolumes; with look they are only looked at, and nothing is changed.
func (a *app) openVolumes(c *config.Config, look bool) (*volumes, error) {
	o := volume.Options{Engine: a.engine, Mounts: disk.Table{}, Point: c.Paths.VolumeMount, State: filepath.Join(c.Paths.State, "volumes"), Index: c.Paths.Index,
		Folders: []string{c.Paths.VolumeSubdir, c.Paths.VolumeSubdir + ".tmp"}, Clock: a.clock,
		Deadlines: volume.Deadlines(c.Timeout), Owned: mounted.Owned, IndexSize: indexSize, CopyEvery: copyEvery, Look: look, Log: a.logVolume}
	for _, v := range c.Volumes {
		d, err := disk.New(disk.Spec{Name: v.Name, UUID: v.UUID, File: v.File, Path: v.Path, Export: v.Export, LUKS: v.LUKSUUID, Dir: c.MountPoint(&v), Options: v.Options}, disk.Host{Clock: a.clock})
		if err != nil {
			return nil, err
		}
		o.Volumes = append(o.Volumes, volume.Spec{Name: v.Name, Use: v.Use, Disk: d, Parent: v.Parent, Workers: v.Workers})
	}
	m, err := volume.New(o)
	if err != nil {
		return nil, err
	}
	return &volumes{a, m}, nil
}

// copyEvery is how often a copy of the index is laid on the disk while its volume is mounted: so much of a check is saved if this machine's own disk dies meanwhile.
const copyEvery = time.Hour

// indexSize is what the engine makes for a volume.
func indexSize(size int64, blockSize int, hash string) (int64, error) {
	c, err := format.NewConfig(format.CreateOptions{Size: size, BlockSize: blockSize, Hash: hash})
	if err != nil {
		return 0, err
	}
	return c.IndexSize, nil
}

// logVolume writes what happens to a volume.
func (a *app) logVolume(t volume.Transition) {
	text := fmt.Sprintf("volume %s: %s to %s", t.Volume, t.From, t.To)
	switch {
	case t.Volume == "":
		text = "volumes"
	case t.From == t.To:
		text = fmt.Sprintf("volume %s is %s", t.Volume, t.To)
	}
	if t.Note != "" {
		text += ": " + t.Note
	}
	if t.Err != nil {
		a.logger.Warnf("%s: %v", text, t.Err)
	} else {
		a.logger.Info(text)
	}
}

func asVolume(c *volume.Current) service.Volume {
	id := c.ID
	if id == "" {
		id = c.Name
	}
	return service.Volume{Name: c.Name, ID: id, Store: c.Store}
}

// Open implements service.Volumes.
func (v *volumes) Open(ctx context.Context) (service.Volume, error) {
	c := v.m.Current()
	if c == nil {
		var err error
		if c, err = v.m.Start(ctx); err != nil {
			return service.Volume{}, err
		}
		for _, n := range c.Notes {
			v.a.logger.Infof("volume %s: %s", c.Name, n)
		}
		v.sweep(ctx, c)
	}
	return asVolume(c), nil
}

// sweep removes what jobs have left on a volume that comes back. It is tried again at each job.
func (v *volumes) sweep(ctx context.Context, c *volume.Current) {
	w := asVolume(c)
	if err := v.a.queue.Sweep(ctx, job.Volume{ID: w.ID, Store: w.Store, Folder: v.a.config().Paths.VolumeSubdir}); err != nil {
		v.a.logger.Warnf("volume %s: what jobs have left: %v", c.Name, err)
	}
}

// Check implements service.Volumes.
func (v *volumes) Check(ctx context.Context, _ service.Volume) error { return v.m.Check(ctx) }

// Switch implements service.Volumes.
func (v *volumes) Switch(ctx context.Context, to string) (service.Switched, error) {
	s, err := v.m.Switch(ctx, volume.SwitchOptions{NoCheck: v.a.frontNow().noCheck(), To: to})
	out := service.Switched{From: s.From, FellBack: s.Back, Take: s.Ejectable}
	if s.Now != nil {
		out.To = s.Now.Name
		v.sweep(ctx, s.Now)
	}
	for _, f := range s.Failures {
		out.Tried = append(out.Tried, fmt.Sprintf("%s: %v", f.Name, f.Err))
	}
	for _, w := range slices.Concat(s.Warnings, s.Kept) {
		v.a.logger.Warn("switch: " + w)
	}
	return out, err
}

// Close implements service.Volumes.
func (v *volumes) Close(ctx context.Context) error {
	if err := v.takeOver(ctx); err != nil {
		return err
	}
	c, err := v.m.Unmount(ctx)
	for _, w := range c.Warnings {
		v.a.logger.Warn("unmount: " + w)
	}
	return err
}

// takeOver takes what the parts of an earlier configuration have mounted, before a reload, and these have not used yet: else nobody would give it back.
func (v *volumes) takeOver(ctx context.Context) error {
	if v.m.Current() != nil {
		return nil
	}
	mounts, err := index.Mounts()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(mounts, func(m index.Mount) bool { return m.Point == v.m.Point() }) {
		_, err = v.m.Start(ctx)
	}
	return err
}

// Disks implements service.Volumes.
func (v *volumes) Disks(ctx context.Context) (list []service.Disk, err error) {
	for _, s := range v.m.Status(ctx) {
		list = append(list, service.Disk{Name: s.Name, State: string(s.State), Use: s.Use, Current: s.Current || s.Point == v.m.Point(), Attached: s.State != volume.Absent,
			Take: s.Ejectable, Since: s.Since, Note: s.Note})
	}
	return list, nil
}

// volumeName is the name of the volume in use if it has that id, else the id.
func (a *app) volumeName(id string) string {
	a.mu.Lock()
	s := a.service
	a.mu.Unlock()
	if s == nil {
		return id
	}
	if v := s.InUse(); v.ID == id {
		return v.Name
	}
	return id
}
