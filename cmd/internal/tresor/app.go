package tresor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/sirupsen/logrus"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/engine"
	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/instance"
	"tresor/orchestrator/job"
	"tresor/orchestrator/runlog"
	"tresor/orchestrator/service"
	"tresor/orchestrator/source"
	"tresor/orchestrator/systemd"
	"tresor/orchestrator/verify"
)

// app is the parts that live as long as the process, joined. The one lock keeps a second process from the same state.
type app struct {
	file    string // of the configuration
	clock   orchestrator.Clock
	lock    *instance.Lock
	queue   *job.Queue
	logs    *runlog.Logs
	logger  *logrus.Logger
	secrets *runlog.Redactor
	tell    *teller
	place   *source.Place
	engine  *engine.Engine
	manager *systemd.Manager // set by serve
	runs    runs
	again   againReads
	proving proving
	trends  *trends

	records sync.Mutex // one change of a published backup's record at a time: it is read and written under it; leaf

	mu      sync.Mutex // guards the fields below; leaf, no I/O
	cfg     *config.Config
	checker *verify.Checker
	front   *front // nil: there is no folder of signals
	skips   skips
	service *service.Service
	reading map[string][]orchestrator.Root // where jobs read, by backup
}

// loadConfig reads a configuration with its secrets.
func loadConfig(file string) (*config.Config, error) { return readConfig(file, outside()) }

// openApp takes the lock and opens what survives reloads. It is closed by close. The log goes to w; short: only errors do.
func openApp(ctx context.Context, file string, w io.Writer, short bool) (_ *app, err error) {
	c, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Paths.State, 0o750); err != nil {
		return nil, err
	}
	clock := orchestrator.SystemClock()
	lock, err := instance.Acquire(filepath.Join(c.Paths.State, "lock"), clock.Now())
	var held *instance.HeldError
	if errors.As(err, &held) {
		return nil, cli.Hint(cli.Exit(cli.ExitBusy, err), "`tresor status` says what it does; it starts, ends or hangs if the verbs cannot ask it")
	}
	if err != nil {
		return nil, err
	}
	a := &app{file: file, clock: clock, lock: lock, cfg: c, secrets: runlog.NewRedactor()}
	a.runs.a = a
	a.trends = newTrends(a, c)
	defer func() {
		if err != nil {
			a.tellNotStarted(ctx, err)
			err = errors.Join(err, a.close())
		}
	}()
	a.addSecrets(c)
	a.logger = newLogger(c, w)
	a.logger.AddHook(a.secrets)
	if short {
		a.logger.SetOutput(io.Discard)
		a.logger.AddHook(troubles{w, c})
	}
	if a.logs, err = runlog.Open(runlog.Options{Dir: c.LogDir(), Clock: clock, Secrets: a.secrets}); err != nil {
		return nil, err
	}
	a.logger.AddHook(a.logs)
	if a.tell, err = newTeller(a, c); err != nil {
		return nil, err
	}
	if a.place, err = source.NewPlace(source.PlaceOptions{Dir: c.Paths.Temporary, Clock: clock}); err != nil {
		return nil, err
	}
	if err := instance.Private(ctx, c.Paths.Temporary, a.place.Sweep); err != nil {
		return nil, err
	}
	program, err := findProgram("ddumbfs")
	if err != nil {
		return nil, err
	}
	a.engine = engine.New(engine.Options{Program: program, Deadline: c.Timeout.Mount, Log: func(line string) { a.logger.Info("ddumbfs: " + line) }})
	return a, a.openQueue(c)
}

func (a *app) openQueue(c *config.Config) (err error) {
	a.queue, err = job.Open(job.Options{
		Dir: filepath.Join(c.Paths.State, "jobs"), Clock: a.clock, Random: rand.Reader, Verifier: (*appVerifier)(a), Notifier: a.tell,
		MakeRoom: a.makeRoom, Skip: func() []string { return a.never(a.config()) }, MaxAttempts: c.Backup.Attempts,
		SkipVerify: a.skipVerify, OnBuffer: onBuffer, Release: a.releaseSource,
		Backoff: func(n int) time.Duration {
			wait := c.Backup.RetryAfter
			for range n - 1 {
				wait = min(2*wait, 24*time.Hour)
			}
			return wait
		},
	})
	return err
}

// never are directories that no source brings into a volume: our own.
func (a *app) never(c *config.Config) []string {
	list := []string{c.Paths.State, c.Paths.VolumeMount, c.Paths.SecondMount}
	for i := range c.Volumes {
		list = append(list, c.MountPoint(&c.Volumes[i]))
	}
	if c.Paths.Buffer != "" {
		list = append(list, c.Paths.Buffer)
	}
	return list
}

// findProgram finds a program of ours beside this one, or else in the path.
func findProgram(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), name); executable(p) {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", cli.Hint(err, name+" belongs beside tresor, or in the path")
	}
	return filepath.Abs(p)
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// close gives everything back.
func (a *app) close() error {
	var errs []error
	if a.queue != nil {
		errs = append(errs, a.queue.Close())
	}
	if a.tell != nil {
		errs = append(errs, a.tell.close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Release())
	}
	return errors.Join(errs...)
}

// config is the present configuration.
func (a *app) config() *config.Config {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg
}

// frontNow is the folder of signals, nil if there is none.
func (a *app) frontNow() *front {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.front
}

func (a *app) addSecrets(c *config.Config) {
	for _, s := range []config.Secret{c.Mail.Password, c.Webhook.Token} {
		a.secrets.Add(s.Reveal())
	}
	a.secrets.Add(c.Webhook.URL, c.Ping.URL) // whoever has the address can post, and can keep a dead-man switch quiet
	for _, b := range c.Borg {
		a.secrets.Add(b.Passphrase.Reveal())
	}
}

// newService joins the parts into the loop.
func (a *app) newService(ctx context.Context, changed func(string)) (*service.Service, error) {
	c := a.config()
	dir := filepath.Join(c.Paths.State, "service")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	s, err := service.New(ctx, service.Parts{Dir: dir, Clock: a.clock, Load: a.load, Jobs: &queueJobs{a}, NewID: func() string { return ulid.Make().String() },
		Log: &a.runs, Changed: changed, Served: func() {
			if h := a.frontNow(); h != nil {
				h.wasServed()
			}
		}})
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.service = s
	a.mu.Unlock()
	if r := s.State().Round; r != nil {
		a.runs.goOn(r.ID)
	}
	a.trends.catchUp()
	return s, nil
}

// round is the one that runs; nil: none does.
func (a *app) round() *service.Round {
	a.mu.Lock()
	s := a.service
	a.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.State().Round
}

// newLogger writes for people, or for the journal.
func newLogger(c *config.Config, w io.Writer) *logrus.Logger {
	l := logrus.New()
	l.SetOutput(w)
	if level, err := logrus.ParseLevel(c.Log.Level); err == nil {
		l.SetLevel(level)
	}
	if systemd.Journal(os.Getenv, os.Stderr) {
		l.SetFormatter(&systemd.Formatter{Inner: &logrus.TextFormatter{DisableTimestamp: true, DisableColors: true}})
		if !c.Log.Journal {
			l.SetOutput(io.Discard)
		}
	}
	return l
}

// troubles shows a person who does something by hand what goes wrong; the log of the round has the rest.
type troubles struct {
	w io.Writer
	c *config.Config
}

// Levels implements logrus.Hook.
func (troubles) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel}
}

// Fire implements logrus.Hook.
func (t troubles) Fire(e *logrus.Entry) error {
	for _, m := range t.c.Machines() {
		if strings.HasPrefix(e.Message, m.Name+": "+string(service.Failed)) || strings.HasPrefix(e.Message, "job of "+m.Name+"-") {
			return nil // it has a line in the result
		}
	}
	_, err := fmt.Fprintf(t.w, "%s: %s: %s\n", program, e.Level, brief(e.Message))
	return err
}

// load reads the configuration and makes the parts that hang on it.
func (a *app) load(ctx context.Context) (*service.Snapshot, error) {
	c, err := loadConfig(a.file)
	if err != nil {
		return nil, err
	}
	if err := sameFixed(a.config(), c); err != nil {
		return nil, err
	}
	a.addSecrets(c)
	volumes, err := a.newVolumes(c)
	if err != nil {
		return nil, err
	}
	sn := &service.Snapshot{Settings: settingsOf(c), Volumes: volumes, Notifier: a.tell, Close: volumes.m.Close}
	fail := func(err error) (*service.Snapshot, error) { return nil, errors.Join(err, volumes.m.Close()) }
	if sn.Machines, err = a.machines(c); err != nil {
		return fail(err)
	}
	if sn.Times, err = timers(c); err != nil {
		return fail(err)
	}
	if sn.Targets, err = a.targets(ctx, c); err != nil {
		return fail(err)
	}
	if c.Paths.Buffer != "" {
		sn.Buffer = &buffer{a, c}
	}
	sn.Keeper = &keeper{a, c}
	sn.Trend, sn.ScrubDue = trendOf(a.trends.c, a.clock), scrubDue(c)
	sn.Use = func() error { return a.use(c) }
	return sn, nil
}

// sameFixed refuses another place for what is locked, mounted or open since the start. A file that is cut off in the middle of being written does not pass it either.
func sameFixed(old, c *config.Config) error {
	fixed := func(c *config.Config) map[string]string {
		p := &c.Paths
		return map[string]string{"paths.state": p.State, "paths.socket": p.Socket, "paths.signals": p.Signals, "paths.temporary": p.Temporary, "paths.index": p.Index,
			"paths.volume_mount": p.VolumeMount, "paths.second_mount": p.SecondMount, "paths.volume_subdir": p.VolumeSubdir, "paths.disks": p.Disks, "log.dir": c.LogDir()}
	}
	was, is := fixed(old), fixed(c)
	var changed []string
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if was[key] != is[key] {
			changed = append(changed, fmt.Sprintf("%s: want %q, found %q", key, was[key], is[key]))
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return cli.Hint(cli.Exit(cli.ExitConfig, fmt.Errorf("configuration %s: another place counts at the start only: %s", c.File, strings.Join(changed, "; "))), "restart the service")
}

// use puts a configuration in the place of the old one.
func (a *app) use(c *config.Config) error {
	if err := a.tell.configure(c); err != nil {
		return err
	}
	checker := a.newChecker(c)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cfg, a.checker = c, checker
	return nil
}

func (a *app) newChecker(c *config.Config) *verify.Checker {
	v := verify.New(verify.Options{Workers: c.Verify.Workers, Idle: c.Verify.IdleIO, Clock: a.clock, MaxScrubAge: c.Verify.ScrubMaxAge,
		Note: func(text string) { a.logger.Warn("verify: " + text) }})
	return &verify.Checker{Verifier: v, Mode: c.Verify.Mode, Clock: a.clock, Source: a.originOf, Again: c.Verify.SourceAgain, Serial: !c.Verify.SourceParallel,
		Unproved: a.unproved, Notifier: a.tell}
}

// makeRoom prunes and reclaims the volume for a job that found it full. Jobs are worked off by the service only.
func (a *app) makeRoom(ctx context.Context, v job.Volume) error {
	a.mu.Lock()
	s := a.service
	a.mu.Unlock()
	if s == nil {
		return errors.New("no service looks after the volume")
	}
	a.logger.Infof("volume %s is full", a.volumeName(v.ID))
	return s.MakeRoom(ctx, service.Volume{Name: a.volumeName(v.ID), ID: v.ID, Store: v.Store})
}

// busy are the backups of jobs that are not ended.
func (a *app) busy() (list []string) {
	for _, j := range a.queue.List() {
		if !j.State.Ended() {
			list = append(list, j.Backup)
		}
	}
	return list
}
