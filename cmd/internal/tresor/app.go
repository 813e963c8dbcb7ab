package tresor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
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

	mu      sync.Mutex // guards the fields below; leaf, no I/O
	cfg     *config.Config
	checker *verify.Checker
	skip    bool // copies are not verified as long as the signal says so
	noCheck bool // volumes that were closed cleanly are not checked at a switch
	service *service.Service
}

// loadConfig reads a configuration; what is wrong with it has its own exit code.
func loadConfig(file string) (*config.Config, error) {
	c, err := config.Load(file, outside())
	var wrong config.Mistakes
	switch {
	case errors.As(err, &wrong):
		return nil, cli.Hint(cli.Exit(cli.ExitConfig, err), "tresor config check "+file)
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Hint(cli.Exit(cli.ExitConfig, err), "`tresor setup` makes a first configuration, `tresor config example` shows one")
	}
	return c, err
}

// openApp takes the lock and opens what survives reloads. It is closed by close.
func openApp(ctx context.Context, file string, s Streams) (_ *app, err error) {
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
		return nil, cli.Hint(cli.Exit(cli.ExitBusy, err), "a service works with this state already: the verbs ask it")
	}
	if err != nil {
		return nil, err
	}
	a := &app{file: file, clock: clock, lock: lock, cfg: c, secrets: runlog.NewRedactor()}
	a.runs.a = a
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	a.addSecrets(c)
	a.logger = newLogger(c, s.Err)
	a.logger.AddHook(a.secrets)
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
		MakeRoom: a.makeRoom, Skip: a.never(c), MaxAttempts: c.Backup.Attempts,
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

func (a *app) addSecrets(c *config.Config) {
	for _, s := range []config.Secret{c.Mail.Password, c.Webhook.Token} {
		a.secrets.Add(s.Reveal())
	}
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
		Log: &a.runs, Changed: changed})
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.service = s
	a.mu.Unlock()
	return s, nil
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

// load reads the configuration and makes the parts that hang on it.
func (a *app) load(ctx context.Context) (*service.Snapshot, error) {
	c, err := loadConfig(a.file)
	if err != nil {
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
	if err := a.tell.configure(c); err != nil {
		return fail(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cfg = c
	a.checker = a.newChecker(c)
	return sn, nil
}

func (a *app) newChecker(c *config.Config) *verify.Checker {
	v := verify.New(verify.Options{Workers: c.Verify.Workers, Idle: c.Verify.IdleIO, Clock: a.clock, Note: func(text string) { a.logger.Warn("verify: " + text) }})
	return &verify.Checker{Verifier: v, Mode: c.Verify.Mode, Clock: a.clock, Source: a.stillThere, Again: c.Verify.SourceParallel}
}

// stillThere is what a backup was made of, if that does not change any more: the backup on the buffer.
func (a *app) stillThere(backup string) verify.Roots {
	j, err := a.queue.Get(backup)
	if err != nil || j.Buffer == "" {
		return nil
	}
	roots, err := bufferRoots(j.Buffer)
	if err != nil {
		return nil // the copy is proved against the sums in any case
	}
	return roots
}

// appVerifier is the verifier of the present configuration, for the queue, which outlives it.
type appVerifier app

func (v *appVerifier) checkerNow() *verify.Checker {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.checker
}

// Verify implements job.Verifier.
func (v *appVerifier) Verify(ctx context.Context, store orchestrator.Store, dir string, sums []orchestrator.FileSum) (orchestrator.Verification, error) {
	return v.checkerNow().Verify(ctx, store, dir, sums)
}

// Write implements job.Verifier.
func (v *appVerifier) Write(ctx context.Context, dir string, sums []orchestrator.FileSum, o orchestrator.Verification) error {
	return v.checkerNow().Write(ctx, dir, sums, o)
}

// makeRoom prunes and reclaims the volume for a job that found it full.
func (a *app) makeRoom(ctx context.Context, v job.Volume) error {
	a.mu.Lock()
	c := a.cfg
	a.mu.Unlock()
	k := &keeper{a, c}
	_, err := k.Prune(ctx, service.Volume{Name: a.volumeName(v.ID), ID: v.ID, Store: v.Store}, a.busy(), false, false)
	if err != nil {
		return err
	}
	got, err := v.Store.Reclaim(ctx)
	if err == nil {
		a.logger.Infof("volume %s was full: a reclaim freed %d MB", v.ID, got.Bytes/1e6)
	}
	return err
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

// keepJobs is how long ended jobs are remembered.
const keepJobs = 30 * 24 * time.Hour

// runs writes what the loop says to the log, and to those of the runs.
type runs struct {
	a    *app
	mu   sync.Mutex // guards open; the logs are opened and closed under it
	open map[string]*runlog.Run
}

// BeginRun implements service.Log.
func (r *runs) BeginRun(id, title string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run, err := r.a.logs.Begin(id, title)
	if err != nil {
		r.a.logger.Error(err)
		return
	}
	if r.open == nil {
		r.open = map[string]*runlog.Run{}
	}
	r.open[id] = run
	r.a.logger.WithField(runlog.Field, id).Info(title)
	if err := r.a.tell.Notify(startedEvent(id, title)); err != nil {
		r.a.logger.Warn(err)
	}
}

// EndRun implements service.Log. It keeps no more logs than the configuration wants.
func (r *runs) EndRun(id string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.open[id]
	if run == nil { // the round goes on after a restart
		var err error
		if run, err = r.a.logs.Begin(id, "the end of a round that was interrupted"); err != nil {
			r.a.logger.Error(err)
			return
		}
	}
	delete(r.open, id)
	result := runlog.OK
	if !ok {
		result = runlog.Failed
	}
	if err := run.End(result); err != nil {
		r.a.logger.Error(err)
	}
	if err := r.a.queue.Forget(r.a.clock.Now().Add(-keepJobs)); err != nil {
		r.a.logger.Warn(err)
	}
	c := r.a.config().Log
	if _, err := r.a.logs.Collect(runlog.Limits{Runs: c.KeepRuns, Age: time.Duration(c.MaxAgeDays) * 24 * time.Hour, Bytes: c.MaxSize}); err != nil {
		r.a.logger.Warn(err)
	}
}

// Say implements service.Log.
func (r *runs) Say(s orchestrator.Severity, run, text string) {
	e := logrus.NewEntry(r.a.logger)
	r.mu.Lock()
	if run == "" { // whatever happens during a round belongs to its log
		for id := range r.open {
			run = id
		}
	}
	r.mu.Unlock()
	if run != "" {
		e = e.WithField(runlog.Field, run)
	}
	switch s {
	case orchestrator.Failure:
		e.Error(text)
	case orchestrator.Warning:
		e.Warn(text)
	default:
		e.Info(text)
	}
}

// errNoService is a verb that only a service can answer.
func errNoService(err error) error {
	return cli.Hint(err, fmt.Sprintf("start it: systemctl start tresor, or %s serve", program))
}
