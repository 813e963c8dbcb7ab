package job_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

// proof is a verifier that reads everything back. flip names backups whose copy it damages before: the value says how often.
type proof struct {
	dir   string // a file flip.<backup> asks for damage, once; flip.<backup>.always each time
	plain *storetest.Plain
	fail  error // of Verify
	calls int
	sums  []orchestrator.FileSum // of the last call
}

func (p *proof) Verify(ctx context.Context, store orchestrator.Store, dir string, sums []orchestrator.FileSum) (orchestrator.Verification, error) {
	p.calls++
	p.sums = sums
	if p.fail != nil {
		return orchestrator.Verification{}, p.fail
	}
	mark := filepath.Join(p.dir, "flip."+filepath.Base(dir))
	_, always := os.Stat(mark + ".always")
	if err := os.Remove(mark); err == nil || always == nil {
		for _, s := range sums {
			data, err := os.ReadFile(filepath.Join(p.plain.Root(), dir, string(s.Path)))
			if err != nil {
				return orchestrator.Verification{}, err
			}
			if s.Size > 0 && xxhash.Sum64(data) == s.XXH64 { // else an earlier run has done it, and a second flip would repair it
				if err := p.plain.Flip(filepath.Join(dir, string(s.Path)), s.Size/2); err != nil {
					return orchestrator.Verification{}, err
				}
				break
			}
		}
	}
	v := orchestrator.Verification{Verdict: orchestrator.Verified, Mode: "full", Compared: time.Now().UTC()}
	for _, s := range sums {
		h := xxhash.New()
		back, err := store.ReadBack(ctx, filepath.Join(dir, string(s.Path)), h, nil)
		if err != nil && len(back.Bad) == 0 {
			return orchestrator.Verification{}, err
		}
		if len(back.Bad) > 0 || h.Sum64() != s.XXH64 {
			v.Verdict, v.Reason = orchestrator.Mismatch, "files differ"
			v.Differ = append(v.Differ, orchestrator.Difference{Path: s.Path, Reason: "another sum", Bad: back.Bad})
		}
	}
	return v, nil
}

func (p *proof) Write(_ context.Context, dir string, sums []orchestrator.FileSum, v orchestrator.Verification) error {
	name := map[orchestrator.Verdict]string{orchestrator.Verified: orchestrator.SumsFile, orchestrator.Mismatch: orchestrator.FailureMark,
		orchestrator.Skipped: orchestrator.ManifestFile}[v.Verdict]
	return os.WriteFile(filepath.Join(dir, name), fmt.Append(nil, len(sums)), 0o644)
}

// mails keeps events.
type mails struct {
	mu   sync.Mutex // guards list
	list []orchestrator.Event
}

func (m *mails) Notify(e orchestrator.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, e)
	if lacks := e.Lacks(); len(lacks) > 0 {
		return fmt.Errorf("%s %q lacks %q", e.Kind, e.Subject, lacks)
	}
	return nil
}

func (m *mails) kinds() (list []string) {
	for _, e := range m.list {
		list = append(list, e.Kind+" "+string(e.Severity))
	}
	return list
}

// rig is a queue with a source and two volumes.
type rig struct {
	t        testing.TB
	dir      string
	opts     job.Options
	q        *job.Queue
	proof    *proof
	mails    *mails
	mu       sync.Mutex // guards released
	released []string
	v1, v2   job.Volume
	p1, p2   *storetest.Plain
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), mails: &mails{}}
	r.v1, r.p1 = r.volume("v1")
	r.v2, r.p2 = r.volume("v2")
	r.proof = &proof{dir: r.dir, plain: r.p1}
	r.opts = job.Options{Dir: filepath.Join(r.dir, "jobs"), Random: rand.Reader, Verifier: r.proof, Notifier: r.mails, Segment: 16384,
		Backoff: func(int) time.Duration { return 0 },
		Release: func(_ context.Context, j job.Job) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.released = append(r.released, j.Backup)
			return nil
		}}
	return r
}

func (r *rig) volume(name string) (job.Volume, *storetest.Plain) {
	r.t.Helper()
	root := filepath.Join(r.dir, name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		r.t.Fatal(err)
	}
	p := storetest.Dir(root)
	return job.Volume{ID: name, Store: p}, p
}

func (r *rig) open() *job.Queue {
	r.t.Helper()
	if r.q != nil {
		r.q.Close()
	}
	q, err := job.Open(r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.q = q
	r.t.Cleanup(func() { q.Close() })
	return q
}

// day is when the n-th backup was begun.
func day(n int) time.Time { return time.Date(2026, 5, n, 20, 0, 0, 0, time.UTC) }

// add makes a source of a machine, and a job.
func (r *rig) add(machine string, n int, size int) job.Job {
	r.t.Helper()
	j, err := r.q.Add(spec(r.t, r.dir, machine, n, size))
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

func spec(t testing.TB, dir, machine string, n, size int) job.Spec {
	t.Helper()
	src := filepath.Join(dir, "sources", machine)
	if err := errors.Join(os.MkdirAll(filepath.Join(src, "sub"), 0o755), os.WriteFile(filepath.Join(src, "big"), content(size, n), 0o644),
		os.WriteFile(filepath.Join(src, "sub", "small\xff"), []byte(machine), 0o600)); err != nil {
		t.Fatal(err)
	}
	return job.Spec{Machine: machine, Backup: orchestrator.BackupName(machine, day(n)), Kind: "dir", Begun: day(n),
		From: []job.Root{{Path: orchestrator.Path(src), Name: "data"}}}
}

// content is the same each time.
func content(size, seed int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintln(&b, seed, i)
	}
	return b.Bytes()[:size]
}

func (r *rig) work(j job.Job, v job.Volume) (job.Job, error) {
	r.t.Helper()
	return r.q.Work(r.t.Context(), j.ID, v, nil)
}

func (r *rig) published(v job.Volume, j job.Job) bool {
	_, err := os.Stat(filepath.Join(v.Store.Root(), "bazaar", j.Backup))
	return err == nil
}

// names in the staging folder of a volume.
func (r *rig) staging(v job.Volume) (names []string) {
	r.t.Helper()
	list, err := os.ReadDir(filepath.Join(v.Store.Root(), "bazaar.tmp"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
