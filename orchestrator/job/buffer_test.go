package job_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
)

// filled makes a backup on a buffer, and its job. The list of what was put there is kept here.
func (r *rig) filled(machine string) (dir string, j job.Job) {
	r.t.Helper()
	s := spec(r.t, r.dir, machine, 1, 50000)
	var list []orchestrator.FileSum
	o := job.FillOptions{Clock: orchestrator.SystemClock(), Dir: filepath.Join(r.dir, "buffer"), Roots: []orchestrator.Root{{Path: string(s.From[0].Path), Name: "data"}},
		Record: orchestrator.Record{Name: s.Backup, Machine: machine, Source: "dir", Begun: s.Begun},
		Filled: func(_ context.Context, _ string, sums []orchestrator.FileSum) error {
			list = sums
			return nil
		}}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if _, err := job.Fill(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
	r.opts.OnBuffer = func(job.Job) (*job.BufferList, error) { return &job.BufferList{Files: list}, nil }
	s.Buffer, s.From = filepath.Join(o.Dir, s.Backup), nil
	q := r.open()
	j, err := q.Add(s)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Buffer, j
}

// TestBufferRots: what comes from the buffer must be what went there.
func TestBufferRots(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"a file is gone":  func(dir string) error { return os.Remove(filepath.Join(dir, "data/sub/small\xff")) },
		"a file is new":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "data/more"), nil, 0o600) },
		"a file is short": func(dir string) error { return os.Truncate(filepath.Join(dir, "data/big"), 40000) },
		"a byte is another one": func(dir string) error {
			f, err := os.OpenFile(filepath.Join(dir, "data/big"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("x"), 30000)
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			dir, j := r.filled("a")
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			var done job.Job
			var err error
			for range 3 {
				done, err = r.work(j, r.v1)
			}
			if err == nil || done.State != job.Failed || r.published(r.v1, j) || len(r.released) != 0 || len(r.staging(r.v1)) != 0 {
				t.Errorf("%+v, %v, released %q, left %q", done, err, r.released, r.staging(r.v1))
			}
			if len(r.mails.list) != 1 || r.mails.list[0].Advice == "" {
				t.Errorf("events %+v", r.mails.list)
			}
		})
	}
}

// TestBufferReadAnew: a read error that passes is not believed twice.
func TestBufferReadAnew(t *testing.T) {
	r := newRig(t)
	dir, j := r.filled("a")
	name := filepath.Join(dir, "data/sub/small\xff")
	if err := os.WriteFile(name, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := r.work(j, r.v1); err == nil || done.Attempts != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := os.WriteFile(name, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestBufferListUnreadable: without the list nobody knows what the backup was.
func TestBufferListUnreadable(t *testing.T) {
	r := newRig(t)
	_, j := r.filled("a")
	r.opts.OnBuffer = func(job.Job) (*job.BufferList, error) { return nil, errors.New("torn") }
	r.open()
	if done, err := r.work(j, r.v1); err == nil || done.Attempts != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	r.opts.OnBuffer = func(job.Job) (*job.BufferList, error) { return nil, nil } // of somebody who wrote none
	r.open()
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestBufferNotWhole: a copy of a backup that lacks something lacks it too, and says so.
func TestBufferNotWhole(t *testing.T) {
	r := newRig(t)
	_, j := r.filled("a")
	full := r.opts.OnBuffer
	r.opts.OnBuffer = func(j job.Job) (*job.BufferList, error) {
		list, err := full(j)
		list.Partial = []string{`"data/locked": permission denied`}
		return list, err
	}
	r.open()
	if done, err := r.work(j, r.v1); err != nil || done.State != job.Published || len(done.Result.Partial) != 1 || done.Result.Partial[0] != `"data/locked": permission denied` {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestBufferFileUnreadable: a file of a backup on the buffer that cannot be read now is none that the copy may lack, whatever the lists of the predecessor say.
func TestBufferFileUnreadable(t *testing.T) {
	r := newRig(t)
	dir, j := r.filled("a")
	r.opts.OnBuffer = func(job.Job) (*job.BufferList, error) { return &job.BufferList{More: true}, nil }
	r.open()
	dead := filepath.Join(dir, "data", "locked")
	if err := os.Mkdir(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	deadMount(t, dead)
	if done, err := r.work(j, r.v1); err == nil || done.Attempts != 1 || !strings.Contains(err.Error(), "data/locked") || len(r.released) != 0 || r.published(r.v1, j) {
		t.Errorf("%+v, %v, released %q", done, err, r.released)
	}
}
