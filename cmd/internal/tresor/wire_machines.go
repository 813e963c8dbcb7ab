package tresor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/borg"
	"tresor/orchestrator/config"
	"tresor/orchestrator/schedule"
	"tresor/orchestrator/service"
	"tresor/orchestrator/source"
)

// longestPoll is how long the loop waits at most between two tries of something that does not tell when it can be had.
const longestPoll = time.Minute

// firstReserves: a machine whose size is not known is expected to need so many times the reserve.
const firstReserves = 10

// settingsOf is what the loop needs of a configuration.
func settingsOf(c *config.Config) service.Settings {
	b := &c.Backup
	s := service.Settings{
		DirectRuns: b.DirectRuns, PauseAfterRound: b.PauseAfterRound, SwitchAfterRound: c.Schedule.SwitchAfterRound, Continuous: c.Schedule.Continuous,
		Between: b.Between, AfterFailure: b.AfterFailure, Reserve: c.Buffer.Reserve, FirstNeed: c.Buffer.FirstBackup,
		AdmissionWarn: c.Buffer.WaitWarn, AdmissionLimit: c.Buffer.WaitLimit, VolumeLimit: b.VolumeWait, Poll: min(longestPoll, max(b.RetryAfter, time.Second)),
		Overdue: b.Overdue, ScrubLimit: c.Verify.ScrubLimit, DrainLimit: c.Timeout.Drain, IdleLimit: c.Timeout.Idle, CloseLimit: c.Timeout.Unmount + c.Timeout.Index,
		FailOverLimit: b.FailOvers, FailOverWithin: b.FailOverWithin,
	}
	if s.FirstNeed == 0 {
		s.FirstNeed = firstReserves * s.Reserve
	}
	if s.FailOverLimit < 0 {
		s.FailOverLimit = len(c.Volumes)
	}
	return s
}

// timers are the calendar expressions of a configuration.
func timers(c *config.Config) (list []service.Timer, err error) {
	for kind, expressions := range map[string][]string{service.TimerStart: c.Schedule.Start, service.TimerSwitch: c.Schedule.Switch,
		service.TimerPrune: c.Schedule.Prune, service.TimerScrub: c.Verify.Scrub} {
		for _, e := range expressions {
			when, perr := schedule.Parse(e, c.Location())
			if perr != nil {
				err = errors.Join(err, perr)
				continue
			}
			list = append(list, service.Timer{Name: kind + " " + e, Kind: kind, When: when})
		}
	}
	slices.SortFunc(list, func(a, b service.Timer) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list, err
}

// machines are the sources of a configuration, ready for the loop.
func (a *app) machines(c *config.Config) (list []service.Machine, err error) {
	sources, err := a.sources(c)
	if err != nil {
		return nil, err
	}
	for i, m := range c.Machines() {
		sm := service.Machine{Name: m.Name, Source: sources[i], Way: service.Way(m.Via)}
		if h := m.BlockedHours; h != nil {
			sm.Blocked = localHours{schedule.Hours{From: h.From, Till: h.To}, c.Location()}
		}
		for _, b := range c.Borg {
			if len(b.Sources) == 0 || slices.Contains(b.Sources, m.Name) {
				sm.Targets = append(sm.Targets, b.Name)
			}
		}
		list = append(list, sm)
	}
	return list, nil
}

// localHours are hours in the time zone of the schedule.
type localHours struct {
	hours schedule.Hours
	zone  *time.Location
}

// Blocked tells whether a machine is left alone at t.
func (h localHours) Blocked(t time.Time) bool { return h.hours.Blocked(t.In(h.zone)) }

// sources are in the order of Config.Machines.
func (a *app) sources(c *config.Config) (list []orchestrator.Source, err error) {
	add := func(s orchestrator.Source, e error) {
		list, err = append(list, s), errors.Join(err, e)
	}
	for _, d := range c.Source.Dir {
		add(source.NewDir(d.Name, source.DirOptions{Paths: d.Paths, Exclude: d.Exclude, OneSystem: d.OneFileSystem}))
	}
	for _, z := range c.Source.ZFS {
		add(source.NewZFS(a.place, z.Name, source.Options{Exclude: z.Exclude}, z.Dataset))
	}
	for _, b := range c.Source.Btrfs {
		add(source.NewBtrfs(a.place, b.Name, source.Options{Exclude: b.Exclude}, b.Subvolume, b.Snapshots))
	}
	for _, l := range c.Source.LVM {
		v := source.LVMVolume{Group: l.Group, Name: l.Volume, FileSystem: l.FileSystem}
		if l.SnapshotSize != "thin" {
			v.Size = l.SnapshotSize
		}
		add(source.NewLVM(a.place, l.Name, source.Options{Exclude: l.Exclude}, v))
	}
	return list, err
}

// targets are the repositories of borg.
func (a *app) targets(ctx context.Context, c *config.Config) (list []service.Target, err error) {
	for _, b := range c.Borg {
		program, err := borg.New(ctx, borg.Options{Program: b.Program, Base: filepath.Join(c.Paths.State, "borg"), Clock: a.clock, Timeout: b.Timeout,
			Log: func(l borg.Line) { a.logger.Infof("borg %s: %s", b.Name, a.secrets.Clean(fmt.Sprint(l))) }})
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", b.Name, err)
		}
		repo := borg.Repository{Name: b.Name, URL: b.URL, Encryption: b.Encryption, SSHKey: b.SSHKey, RemotePath: b.RemotePath,
			KnownHosts: b.KnownHosts, Init: b.Init}
		if !b.Passphrase.IsZero() {
			repo.Passphrase = b.Passphrase
		}
		list = append(list, &borgTarget{c: b, program: program, repo: repo})
	}
	return list, nil
}

// borgTarget is a repository that gets the machines, one archive for each.
type borgTarget struct {
	c       config.Borg
	program *borg.Borg
	repo    borg.Repository

	mu    sync.Mutex // guards whole; leaf, no I/O
	whole []string   // archives of this round that lack nothing
}

// Name implements service.Target.
func (t *borgTarget) Name() string { return t.c.Name }

// Backup implements service.Target: an archive of this machine.
func (t *borgTarget) Backup(ctx context.Context, machine string, roots []orchestrator.Root) error {
	r := t.program.Run(ctx, []borg.Repository{t.repo}, borg.Backup{Prefix: t.c.Prefix + machine, Roots: roots, Compression: t.c.Compression})
	for _, one := range r.Repositories {
		if one.Whole {
			t.mu.Lock()
			t.whole = append(t.whole, one.Archive)
			t.mu.Unlock()
		}
	}
	if r.Result == borg.OK {
		return nil
	}
	if len(r.Reasons) == 0 {
		return fmt.Errorf("%s: %s", r.Result, r)
	}
	return fmt.Errorf("%s: %s", r.Result, inOneLine(r.Reasons))
}

func inOneLine(reasons []borg.Reason) string {
	list := make([]string, len(reasons))
	for i, x := range reasons {
		list[i] = x.String()
	}
	return strings.Join(list, "; ")
}

// Maintain implements service.Target: check, prune and compact, once after all machines. A repository in which the check finds anything is left as it is,
// and only machines whose archive lacks nothing are pruned.
func (t *borgTarget) Maintain(ctx context.Context) error {
	t.mu.Lock()
	whole := t.whole
	t.whole = nil
	t.mu.Unlock()
	w := borg.Backup{Keep: borg.Keep{Daily: t.c.Daily, Weekly: t.c.Weekly, Monthly: t.c.Monthly, Yearly: t.c.Yearly}, Compact: t.c.Compact}
	switch {
	case t.c.Check && t.c.VerifyData:
		w.Check = borg.CheckData
	case t.c.Check:
		w.Check = borg.CheckRepository
	}
	r := t.program.Tend(ctx, t.repo, w, whole)
	if r.Result == borg.OK {
		return nil
	}
	return fmt.Errorf("%s: %s", r.Result, inOneLine(r.Reasons))
}
