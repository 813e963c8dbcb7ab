package fs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/node"
	"tresor/fs/openfile"
	"tresor/fs/socket"
	"tresor/index"
	"tresor/index/cores"
	"tresor/index/format"
	"tresor/index/fsck"
)

// Mounted is a volume that is being served.
type Mounted struct {
	o    Options
	log  *logrus.Logger
	file *logFile

	vol    *index.Volume
	files  *openfile.Manager
	nodes  *node.FS
	server *fusefs.Server
	stats  *statSource
	ctl    *socket.Server // nil: it could not be opened
	device atomic.Uint64  // of the mount's files; 0: not known yet
	unseen error          // why the repair before the mount did not see everything; nil if it did

	// stop ends the background work, which background counts.
	stop       context.CancelFunc
	background sync.WaitGroup

	done chan struct{} // closed when everything is closed
	err  error         // valid after done
}

// Mount opens the volume and mounts it; it returns when the mount can be used. An unclean volume is repaired first, which may take long;
// ctx ends that, and nothing after it. The logger gets what an administrator should see; the same goes to the volume's own log.
//
// The caller waits for the end with Wait. The process's umask must be 0 while the volume is served.
func Mount(ctx context.Context, o Options, log *logrus.Logger) (*Mounted, error) {
	m := &Mounted{o: o, log: log, done: make(chan struct{})}
	if err := m.checkMountPoint(); err != nil {
		return nil, err
	}
	if err := m.openVolume(ctx); err != nil {
		return nil, err
	}
	if err := m.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s on %s: %w", m.o.Parent, m.o.MountPoint, err), m.closeAll())
	}
	go m.serve()
	if err := m.server.WaitMount(); err != nil {
		if m.gone() {
			return m, nil // somebody unmounted it the moment it was there: Wait tells how that went
		}
		return nil, errors.Join(fmt.Errorf("mount %s on %s: %w", m.o.Parent, m.o.MountPoint, err), m.server.Unmount(), m.Wait())
	}
	m.noteDevice()
	if err := node.SetReadAhead(m.o.MountPoint, readAhead); err != nil {
		m.log.Debug(err)
	}
	return m, nil
}

// gone tells whether the mount point is no mount of a volume any more.
func (m *Mounted) gone() bool {
	list, err := index.Mounts()
	return err == nil && !slices.ContainsFunc(list, func(on index.Mount) bool { return on.Volume() && on.Point == m.o.MountPoint })
}

// readAhead is how far the kernel reads ahead in files of the mount, in bytes. So many requests of 1 MiB are on their way at a time while a file is read in
// order: some wait for the disk, others are hashed, others answered. With 1 MiB the processors idled for a third of the time (docs/performance.md).
const readAhead = 8 << 20

// checkMountPoint makes both paths absolute and refuses a mount point from which the volume would serve itself.
func (m *Mounted) checkMountPoint() error {
	point, err := filepath.Abs(m.o.MountPoint)
	if err != nil {
		return fmt.Errorf("mount point %s: %w", m.o.MountPoint, err)
	}
	if point, err = filepath.EvalSymlinks(point); err != nil {
		if errors.Is(err, unix.ENOTCONN) {
			return fmt.Errorf("mount point %s: a dead mount lies on it: remove it with umount -l %s first: %w", m.o.MountPoint, m.o.MountPoint, err)
		}
		return fmt.Errorf("mount point: %w", err)
	}
	info, err := os.Stat(point)
	if err != nil {
		return fmt.Errorf("mount point: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("mount point %s: not a directory", point)
	}
	m.o.MountPoint = point
	return nil
}

// inside tells whether path is dir or lies below it.
func inside(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func (m *Mounted) openVolume(ctx context.Context) error {
	mode := index.Write
	if m.o.ReadOnly {
		mode = index.Read
		if m.o.Check {
			return errors.New("the mount options ro and check exclude each other: a check at mount repairs")
		}
	}
	p, err := m.acquire(mode)
	if err != nil {
		return err
	}
	if mnt, ok := index.MountOf(p.Dir); ok {
		// Read takes no lock; but a volume that somebody else changes cannot be served from an index that was read before.
		return errors.Join(format.Mark(format.ErrBusy, fmt.Errorf("open volume %s: it is mounted on %s", p.Dir, mnt)), p.Close())
	}
	if inside(m.o.MountPoint, p.Dir) || inside(p.Dir, m.o.MountPoint) {
		return errors.Join(fmt.Errorf("mount %s on %s: the mount point must not lie inside the parent directory or over it: the volume would wait for itself",
			p.Dir, m.o.MountPoint), p.Close())
	}
	m.o.Parent = p.Dir
	if err := p.IndexMissing(); err != nil {
		return errors.Join(err, p.Close())
	}
	if !m.o.ReadOnly {
		if err := m.openLog(p); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	if err := m.openClean(ctx, p); err != nil {
		return errors.Join(err, m.file.Close())
	}
	if err := m.vol.LockError(); m.o.LockIndex && err != nil {
		m.log.Warnf("the index could not be locked into memory, it may be swapped out: %v", err)
	}
	return nil
}

func (m *Mounted) acquire(mode index.Mode) (*index.Parent, error) {
	return index.Acquire(index.Location{Parent: m.o.Parent, Index: m.o.Index, Blocks: m.o.Blocks}, mode)
}

// openClean opens the volume, after a repair where one is needed or asked for. It takes the parent over.
func (m *Mounted) openClean(ctx context.Context, p *index.Parent) (err error) {
	opts := index.Options{ReadOnly: m.o.ReadOnly, LockIndex: m.o.LockIndex, Verify: m.o.verify(), Checkpoint: m.o.Checkpoint,
		LostZeros: m.o.Lost == "zeros", Discard: m.o.Discard, VerifyLinks: m.o.VerifyLinks, Warn: func(msg string) { m.log.Warn(msg) }}
	if !m.o.Check || m.o.ReadOnly {
		m.vol, err = index.Open(p, opts)
		if err == nil || !errors.Is(err, index.ErrUnclean) {
			return err
		}
		m.log.Warnf("%v; repairing it", err)
		if p, err = m.acquire(index.Write); err != nil {
			return err
		}
	}
	if err := m.repair(ctx, p); err != nil {
		return errors.Join(err, p.Close())
	}
	if m.vol, err = index.OpenRepaired(p, opts); err == nil {
		m.vol.Halfway(m.unseen)
	}
	return err
}

// repair is the quick repair of the format page, section 9; the mark of the unclean stop stays until the unmount.
func (m *Mounted) repair(ctx context.Context, p *index.Parent) error {
	v := fsck.Of(p)
	v.Log = func(line string) { m.log.Info(line) }
	v.Progress = progressLog(m.log)
	if err := v.LoadState(); err != nil {
		return fmt.Errorf("repair volume %s: %w", p.Dir, err)
	}
	res, err := fsck.Repair(ctx, v, fsck.RepairOptions{KeepDirty: true})
	if err != nil {
		return err
	}
	if res.Incomplete {
		// What those files refer to is kept, and not known. The next mount looks again.
		m.unseen = fmt.Errorf("repair volume %s: some files could not be read or written", p.Dir)
		m.log.Errorf("%v: nothing is freed before they can be", m.unseen)
	}
	m.log.Infof("repaired: %d files, %d blocks in use, %d blocks hashed again, %d files fixed or damaged", res.Files, res.Used, res.Suspects, len(res.Reports))
	for i := range res.Reports {
		m.log.Warnf("repair: %s", res.Reports[i].String())
	}
	return nil
}

// start joins the open volume to the kernel; serve has to follow.
func (m *Mounted) start() error {
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	warn := func(msg string) { m.log.Warn(msg) }
	m.files = openfile.NewManager(openfile.Config{Volume: m.vol, Workers: m.o.workers(cores.Count()), Log: warn})
	m.stats = newStatSource(m)
	geo := m.vol.Geometry()
	nodes, err := node.New(node.Config{
		Root: m.vol.Parent().Root, Files: node.Files(m.files), BlockSize: geo.BlockSize, EntrySize: geo.EntrySize,
		ReadOnly: m.o.ReadOnly, Direct: directMode(m.o.Handles), Special: control.New(ctx, m.stats), Mover: m.stats,
		Timeouts: &node.Timeouts{Entry: m.o.EntryTimeout, Attr: m.o.AttrTimeout, Negative: m.o.NegativeTimeout},
		StatFS:   m.stats.statFS, Log: m.log.Warnf, SyncFailed: m.vol.SyncFailed,
	})
	if err != nil {
		return err
	}
	m.nodes = nodes
	if ok, reason := nodes.Exportable(); !ok {
		m.log.Warnf("the mount cannot be exported over NFS: %s", reason)
	}
	opts := nodes.MountOptions(m.vol.Parent().Dir, m.o.FuseOptions)
	opts.Debug, opts.PanicHandler = m.o.Debug, m.panicked
	if m.server, err = fusefs.NewServer(nodes, m.o.MountPoint, opts); err != nil {
		return err
	}
	m.background.Go(func() { m.work(ctx) })
	m.listen(ctx)
	return nil
}

func directMode(s string) node.Direct {
	switch s {
	case "always":
		return node.DirectAlways
	case "never":
		return node.DirectNever
	}
	return node.DirectAuto
}

// serve answers the kernel until the volume is unmounted by whomever, then closes everything.
func (m *Mounted) serve() {
	m.server.Serve()
	m.err = m.closeAll()
	close(m.done)
}

// closeAll ends and releases in order what was started; it may be called with any part missing.
func (m *Mounted) closeAll() error {
	var errs []error
	if m.stop != nil {
		m.stop()
	}
	errs = append(errs, m.closeControl())
	m.background.Wait()
	if m.nodes != nil {
		errs = append(errs, m.nodes.Close())
	}
	if m.files != nil {
		errs = append(errs, m.files.Close())
	}
	if m.vol != nil {
		errs = append(errs, m.closeVolume(errors.Join(errs...)))
	}
	err := errors.Join(errs...)
	if err != nil {
		m.log.WithError(err).Error("the volume was not closed cleanly; the next mount repairs it")
	} else {
		m.log.Infof("volume %s is closed and clean", m.o.Parent)
	}
	return errors.Join(err, m.file.Close())
}

// closeVolume closes clean. What could not be flushed was reported to its writers as far as there are any; it does not make the
// volume unclean, since nothing refers to it.
func (m *Mounted) closeVolume(before error) error {
	if before != nil {
		m.log.WithError(before).Error("some files could not be stored completely")
	}
	return m.vol.Close()
}

// Wait returns when the volume was unmounted and is closed, with an error if it could not be closed cleanly.
func (m *Mounted) Wait() error {
	<-m.done
	return m.err
}

// Unmount takes the mount away; Wait tells when the volume is closed. While somebody uses the mount it is an error that matches
// unix.EBUSY; what was accepted so far is then brought to rest on the disk all the same, so that a kill costs nothing.
func (m *Mounted) Unmount() error {
	select {
	case <-m.done:
		return nil
	default:
	}
	err := unix.Unmount(m.o.MountPoint, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // somebody else was faster
	}
	if err == nil {
		return nil
	}
	if _, rest := m.vol.Quiesce(0, m.files.FlushAll); rest != nil {
		m.log.WithError(rest).Error("bring the volume to rest")
	}
	return fmt.Errorf("unmount %s: %w", m.o.MountPoint, err)
}
