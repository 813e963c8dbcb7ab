package tresor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/tresor/control"
	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
	"tresor/orchestrator/config"
	"tresor/orchestrator/instance"
	"tresor/orchestrator/job"
	"tresor/orchestrator/retention"
	"tresor/orchestrator/service"
)

// offline is what lies on the disk of the state, for verbs that look at things while no service answers. Nothing of it is changed.
type offline struct {
	c      *config.Config
	holder *instance.Owner // who works with the state and does not answer; nil: nobody
	note   string          // for people: why this is no answer of a service
}

// orOffline asks the service, and where none answers looks at the disk.
func (c *client) orOffline(ctx context.Context, op string, args, result any, look func(*offline) error) (*offline, error) {
	err := c.ask(ctx, op, args, result, nil)
	if !errors.Is(err, control.ErrNobody) && !errors.Is(err, control.ErrSilent) {
		return nil, err
	}
	o, e := c.offline(err)
	if e != nil {
		return nil, mayNot(e)
	}
	return o, mayNot(look(o))
}

// offline: cause is why the service could not be asked.
func (c *client) offline(cause error) (*offline, error) {
	cfg, err := c.settings()
	if err != nil {
		return nil, err
	}
	o := &offline{c: cfg, note: "No service runs. This is what the last one left."}
	owner, held, err := instance.Holder(filepath.Join(cfg.Paths.State, "lock"))
	switch {
	case err != nil:
		return nil, err
	case held:
		o.holder = &owner
		o.note = fmt.Sprintf("Process %d works with this state%s and does not answer at %s: it starts, ends, or hangs. This is what lies on the disk.", owner.PID, since(owner.Since), cfg.Paths.Socket)
	case errors.Is(cause, control.ErrSilent):
		o.note = "The service did not answer. This is what lies on the disk."
	}
	return o, nil
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + moment(t)
}

// warn tells a person on the error stream that the result comes from the disk.
func (o *offline) warn(s Streams, verb string) {
	if o != nil {
		cli.ReportFor(s.Err, program, verb, errors.New(o.note))
	}
}

// List tells the jobs as they lie in the journal.
func (o *offline) List() (list []service.Job, err error) {
	jobs, err := job.Peek(filepath.Join(o.c.Paths.State, "jobs"))
	for _, x := range jobs {
		list = append(list, asJob(x))
	}
	return list, err
}

// status makes one of the files of the state and of the kernel's mount table.
func (o *offline) status(ctx context.Context) (service.Status, error) {
	state, err := service.LoadState(filepath.Join(o.c.Paths.State, "service"))
	if err != nil {
		return service.Status{}, err
	}
	a := &app{clock: orchestrator.SystemClock(), cfg: o.c, logger: quietLogger()}
	sn := &service.Snapshot{Settings: settingsOf(o.c), Volumes: noVolumes{}, Trend: trendOf(countersOf(o.c), orchestrator.SystemClock())}
	for _, m := range o.c.Machines() {
		sn.Machines = append(sn.Machines, service.Machine{Name: m.Name, Way: service.Way(m.Via)})
	}
	if sn.Times, err = timers(o.c); err != nil {
		return service.Status{}, err
	}
	if _, err := os.Stat(filepath.Join(o.c.Paths.State, "volumes")); err == nil { // it would be made
		vs, err := a.openVolumes(o.c, true)
		if err != nil {
			return service.Status{}, err
		}
		defer vs.m.Close() // it was looked at only
		sn.Volumes = &heldVolumes{vs, o.holder}
	}
	return service.StatusOf(ctx, time.Now(), state, sn, o), nil
}

func quietLogger() *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

// heldVolumes are the disks beside a process that may still work on them, and cannot be asked.
type heldVolumes struct {
	service.Volumes
	holder *instance.Owner // nil: there is none
}

// Disks implements a part of service.Volumes. Whether the kernel is done with a disk that is mounted nowhere only that process knows.
func (h *heldVolumes) Disks(ctx context.Context) ([]service.Disk, error) {
	list, err := h.Volumes.Disks(ctx)
	for i := range list {
		if d := &list[i]; h.holder != nil && d.Take {
			d.Take = false
			d.Note = fmt.Sprintf("process %d may still work on it", h.holder.PID)
		}
	}
	return list, err
}

// noVolumes are the disks of a service that never ran.
type noVolumes struct{ service.Volumes }

// Disks implements a part of service.Volumes.
func (noVolumes) Disks(context.Context) ([]service.Disk, error) { return nil, nil }

// backups are those on the buffer as it is, and on the volumes as they were seen last.
func (o *offline) backups(ctx context.Context, all bool) (listed, error) {
	out := newListed()
	list, err := seen(o.c)
	out.problem(err)
	for i := range list {
		if i == 0 {
			out.use(&list[0])
		} else if all {
			out.Others = append(out.Others, list[i])
		}
	}
	out.buffer(ctx, o.c)
	return out, nil
}

// buffer adds what lies on the buffer.
func (l *listed) buffer(ctx context.Context, c *config.Config) {
	if c.Paths.Buffer == "" {
		return
	}
	have, err := catalog.Open(c.Paths.Buffer).List(ctx)
	if errors.Is(err, fs.ErrNotExist) { // it was not needed yet
		err = nil
	}
	l.problem(err)
	l.OnBuffer = append(l.OnBuffer, have.Backups...)
}

// prune says what the rules would do, by what was seen of the volume that was in use last.
func (o *offline) prune() (p service.Pruned, at contents, err error) {
	list, err := seen(o.c)
	if err != nil {
		return p, at, err
	}
	if len(list) == 0 {
		return p, at, cli.Hint(cli.Exit(cli.ExitNoService, errors.New("no service answers, and none has seen a volume yet")), fmt.Sprintf("start it: systemctl start tresor, or %s serve", program))
	}
	jobs, err := o.List()
	if err != nil {
		return p, at, err
	}
	var busy []string
	for _, j := range jobs {
		if !j.Ended {
			busy = append(busy, j.Backup)
		}
	}
	at = list[0]
	var in retention.Input
	var limit retention.Limit
	if in, limit, err = planInput(o.c, at, busy, time.Now()); err == nil {
		_, p, err = planned(in, limit)
	}
	return p, at, err
}
