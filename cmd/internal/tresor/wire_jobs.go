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

	"golang.org/x/sys/unix"
)

// queueJobs is the queue as the loop sees it.
type queueJobs struct{ a *app }

func asJob(j job.Job) service.Job {
	out := service.Job{ID: j.ID, Backup: j.Backup, Machine: j.Machine, Way: service.ViaVolume, State: string(j.State), Token: j.Token, Volume: j.Volume, Attempts: j.Attempts, After: j.NotBefore,
		Made: j.Created, Bytes: j.Result.Bytes, Done: j.Done, New: j.Result.NewBytes, Error: j.LastError, Verdict: j.Result.Verdict, Recopies: j.Recopies, Partial: j.Result.Partial,
		Ended: j.State.Ended(), Published: j.State == job.Published, Dropped: j.State.Ended() && j.Dropped != ""}
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
		list = append(list, asJob(j))
	}
	return list, nil
}

// Add implements service.Jobs. A backup on the buffer is read by its entries, without our record of it.
func (q *queueJobs) Add(_ context.Context, o service.Order) (service.Job, error) {
	s := job.Spec{Machine: o.Machine, Backup: o.Backup, Kind: o.Kind, Begun: o.Begun, From: job.Roots(o.Roots), Token: o.Token, Buffer: o.Buffer}
	if o.Buffer != "" {
		roots, err := bufferRoots(o.Buffer)
		if err != nil {
			return service.Job{}, err
		}
		s.From = job.Roots(roots)
	}
	q.a.mu.Lock()
	skip := q.a.skip
	q.a.mu.Unlock()
	switch {
	case o.Skip:
		s.SkipVerify = "the configuration of the machine says so"
	case skip:
		s.SkipVerify = "the signal skipcrc"
	}
	j, err := q.a.queue.Add(s)
	return asJob(j), err
}

// bufferRoots are the entries of a backup on the buffer but for its record.
func bufferRoots(dir string) (list []orchestrator.Root, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() != orchestrator.RecordFile {
			list = append(list, orchestrator.Root{Path: filepath.Join(dir, e.Name()), Name: e.Name()})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("backup %s on the buffer is empty", dir)
	}
	return list, nil
}

// Work implements service.Jobs.
func (q *queueJobs) Work(ctx context.Context, id string, v service.Volume, tree []orchestrator.Root) (service.Job, error) {
	j, err := q.a.queue.Work(ctx, id, job.Volume{ID: v.ID, Store: v.Store}, tree)
	if j.ID == "" {
		return service.Job{}, err
	}
	return asJob(j), err
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

// Retry implements service.Jobs.
func (q *queueJobs) Retry(_ context.Context, id string) error {
	_, err := q.a.queue.Retry(id)
	return err
}

// buffer is the folder on the fast disk.
type buffer struct {
	a *app
	c *config.Config
}

func (b *buffer) folder() *catalog.Folder { return catalog.Open(b.c.Paths.Buffer) }

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
	return job.Fill(ctx, job.FillOptions{Dir: b.c.Paths.Buffer, Record: r, Roots: roots, Skip: b.a.neverButBuffer(b.c), Clock: b.a.clock})
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

// Release implements service.Buffer: the record says so.
func (b *buffer) Release(_ context.Context, name string, v orchestrator.Verdict) error {
	have, err := b.folder().Find(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it went already
	}
	if err != nil {
		return err
	}
	have.Verdict, have.Reason = v, "its copy is on a volume"
	return b.folder().WriteRecord(have.Record)
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
