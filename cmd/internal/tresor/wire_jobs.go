package tresor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"tresor/orchestrator"
	"tresor/orchestrator/catalog"
	"tresor/orchestrator/config"
	"tresor/orchestrator/job"
	"tresor/orchestrator/retention"
	"tresor/orchestrator/service"
	"tresor/orchestrator/verify"

	"golang.org/x/sys/unix"
)

// queueJobs is the queue as the loop sees it.
type queueJobs struct{ a *app }

func asJob(j job.Job) service.Job {
	out := service.Job{ID: j.ID, Backup: j.Backup, Machine: j.Machine, Way: service.ViaVolume, State: string(j.State), Token: j.Token, Volume: j.Volume, Attempts: j.Attempts, After: j.NotBefore,
		Made: j.Created, Bytes: j.Result.Bytes, Done: j.Done, New: j.Result.NewBytes, NewData: j.Result.NewData, Error: j.LastError, Verdict: j.Result.Verdict, Recopies: j.Recopies, Partial: j.Result.Partial,
		Running: j.Running, Ended: j.State.Ended(), Published: j.State == job.Published, Dropped: j.State.Ended() && j.Dropped != ""}
	if j.Buffer != "" {
		out.Way = service.ViaBuffer
	}
	if j.State == job.Failed && j.Checked.Verdict != "" {
		out.Verdict = j.Checked.Verdict
	}
	return out
}

// List implements service.Jobs.
func (q *queueJobs) List() (list []service.Job, err error) {
	for _, j := range q.a.queue.List() {
		list = append(list, q.asJob(j))
	}
	return list, nil
}

// Add implements service.Jobs.
func (q *queueJobs) Add(_ context.Context, o service.Order) (service.Job, error) {
	j, err := q.a.queue.Add(job.Spec{Machine: o.Machine, Backup: o.Backup, Kind: o.Kind, Begun: o.Begun, From: job.Roots(o.Roots), Token: o.Token, Buffer: o.Buffer})
	return q.asJob(j), err
}

// asJob is a job for the loop, which does not know of clocks that were set.
func (q *queueJobs) asJob(j job.Job) service.Job {
	out := asJob(j)
	out.After = j.Due(q.a.clock.Now())
	return out
}

// onBuffer is what a backup on the buffer was when it was made: by its manifest, and by its record; a backup of the predecessor by the sums
// that it has, if any.
func onBuffer(j job.Job) (*job.BufferList, error) {
	b, err := catalog.Open(filepath.Dir(j.Buffer)).Find(filepath.Base(j.Buffer))
	if err != nil {
		return nil, err
	}
	want, err := verify.Published(j.Buffer)
	if !b.Legacy && (errors.Is(err, verify.ErrNoSums) || err == nil && want.More) { // sums of the predecessor are not those of all files
		return nil, fmt.Errorf("%s: it was made by Tresor, and its %s is missing: nobody knows what it was", j.Buffer, orchestrator.ManifestFile)
	}
	if errors.Is(err, verify.ErrNoSums) {
		return &job.BufferList{More: true, Partial: b.Partial}, nil
	}
	if err != nil {
		return nil, err
	}
	return &job.BufferList{Files: want.Files, More: want.More, Partial: b.Partial}, nil
}

// releaseSource is told by the queue that a backup on the buffer is not needed any more.
func (a *app) releaseSource(_ context.Context, j job.Job) error {
	if j.Buffer == "" {
		return nil
	}
	verdict, reason := j.Result.Verdict, "its copy is on volume "+a.volumeName(j.Volume)
	if j.State != job.Published {
		verdict, reason = orchestrator.Skipped, "its job was dropped by "+j.Dropped
	}
	if _, err := os.Lstat(filepath.Dir(j.Buffer)); err != nil { // a buffer that is not there has not lost the backup
		return err
	}
	a.records.Lock()
	defer a.records.Unlock()
	err := catalog.Open(filepath.Dir(j.Buffer)).Change(j.Backup, func(r *orchestrator.Record) { r.Verdict, r.Reason = verdict, reason })
	if errors.Is(err, os.ErrNotExist) {
		return nil // it went already
	}
	return err
}

// mostJobs is how many jobs that have ended are remembered, whatever their age.
const mostJobs = 10_000

// forgetJobs forgets the jobs of long ago, but for those that the loop has not counted yet, or that belong to its round.
func (a *app) forgetJobs() error {
	a.mu.Lock()
	s := a.service
	a.mu.Unlock()
	if s == nil {
		return nil
	}
	st := s.State()
	need := func(j job.Job) bool {
		return !slices.Contains(st.Counted, j.ID) || st.Round != nil && slices.ContainsFunc(st.Round.Machines, func(r service.Result) bool { return r.Backup == j.Backup })
	}
	return a.queue.Forget(job.Memory{Since: a.clock.Now().Add(-keepJobs), Most: mostJobs, Need: need})
}

// Work implements service.Jobs.
func (q *queueJobs) Work(ctx context.Context, id string, v service.Volume, tree []orchestrator.Root) (service.Job, error) {
	if j, err := q.a.queue.Get(id); err == nil {
		defer q.a.reads(j.Backup, tree)()
	}
	j, err := q.a.queue.Work(ctx, id, job.Volume{ID: v.ID, Store: v.Store, Folder: q.a.config().Paths.VolumeSubdir}, tree)
	if j.ID == "" {
		return service.Job{}, err
	}
	q.a.trends.job(j)
	return q.asJob(j), err
}

// SetToken implements service.Jobs.
func (q *queueJobs) SetToken(_ context.Context, id, token string) error {
	_, err := q.a.queue.SetToken(id, token)
	return err
}

// Drop implements service.Jobs.
func (q *queueJobs) Drop(ctx context.Context, id string) error {
	return q.a.queue.Drop(ctx, id, "operator")
}

// Retry implements service.Jobs. A job that has not ended begins its next attempt at once.
func (q *queueJobs) Retry(_ context.Context, id string) error {
	j, err := q.a.queue.Get(id)
	switch {
	case err != nil:
	case j.State.Ended():
		_, err = q.a.queue.Retry(id)
	default:
		_, err = q.a.queue.Hurry(id)
	}
	return err
}

// buffer is the folder on the fast disk.
type buffer struct {
	a *app
	c *config.Config
}

func (b *buffer) folder() *catalog.Folder {
	return catalog.Open(b.c.Paths.Buffer).Guarded(&b.a.records)
}

// Free implements service.Buffer.
func (b *buffer) Free(context.Context) (free int64, percent int, err error) {
	if err := os.MkdirAll(b.c.Paths.Buffer, 0o700); err != nil {
		return 0, 0, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(b.c.Paths.Buffer, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: b.c.Paths.Buffer, Err: err}
	}
	used := st.Blocks - st.Bfree
	if all := used + st.Bavail; all > 0 {
		percent = int(used * 100 / all)
	}
	return int64(st.Bavail) * st.Bsize, percent, nil
}

// List implements service.Buffer.
func (b *buffer) List(ctx context.Context) ([]orchestrator.Backup, error) {
	if err := os.MkdirAll(b.c.Paths.Buffer, 0o700); err != nil {
		return nil, err
	}
	l, err := b.folder().List(ctx)
	slices.SortStableFunc(l.Backups, func(x, y orchestrator.Backup) int { return x.Begun.Compare(y.Begun) })
	return l.Backups, err
}

// Make implements service.Buffer.
func (b *buffer) Make(ctx context.Context, name string, m service.Machine, roots []orchestrator.Root) (orchestrator.Record, error) {
	_, begun, err := orchestrator.ParseBackupName(name)
	if err != nil {
		return orchestrator.Record{}, err
	}
	r := orchestrator.Record{Name: name, Machine: m.Name, Source: m.Source.Kind(), Begun: begun}
	return job.Fill(ctx, job.FillOptions{Dir: b.c.Paths.Buffer, Record: r, Roots: roots, Skip: b.a.neverButBuffer(b.c), Clock: b.a.clock,
		Filled: func(ctx context.Context, dir string, sums []orchestrator.FileSum) error {
			return verify.Describe(ctx, b.a.clock, dir, name, sums)
		}})
}

// Discard implements service.Buffer.
func (b *buffer) Discard(_ context.Context, name string) error {
	if _, _, err := orchestrator.ParseBackupName(name); err != nil || filepath.Base(name) != name {
		return fmt.Errorf("discard %q: it is no name of a backup", name)
	}
	root, err := os.OpenRoot(b.c.Paths.Buffer)
	if err != nil {
		return err
	}
	return errors.Join(root.RemoveAll(name+".partial"), root.RemoveAll("."+name+".log"), root.Close())
}

// neverButBuffer is never without the buffer, which is the target and left out by itself.
func (a *app) neverButBuffer(c *config.Config) []string {
	return slices.DeleteFunc(a.never(c), func(dir string) bool { return dir == c.Paths.Buffer })
}

// Dir implements service.Buffer.
func (b *buffer) Dir(name string) string { return filepath.Join(b.c.Paths.Buffer, name) }

// Release implements service.Buffer: the record says so. The queue does it too, before it forgets the job.
func (b *buffer) Release(ctx context.Context, name string, _ orchestrator.Verdict) error {
	j, err := b.a.queue.Get(name)
	if err != nil {
		return err
	}
	return b.a.releaseSource(ctx, j)
}

// Remove implements service.Buffer.
func (b *buffer) Remove(ctx context.Context, name string) error { return b.folder().Delete(ctx, name) }

// Plan implements service.Buffer.
func (b *buffer) Plan(ctx context.Context, list []orchestrator.Backup) (remove []string, err error) {
	in := retention.Input{Now: b.a.clock.Now(), Folder: b.c.Paths.Buffer, Backups: list, Machines: map[string]retention.Rules{}, Location: b.c.Location()}
	for _, m := range b.c.Machines() {
		in.Machines[m.Name] = retention.Rules{Versions: b.c.RetentionOf(m.Name, "").BufferVersions}
	}
	for _, d := range retention.Make(in).Deletions() {
		remove = append(remove, d.Name)
	}
	return remove, nil
}

// Full implements service.Buffer.
func (b *buffer) Full() int { return b.c.Buffer.EmergencyPercent }
