package tresor

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"tresor/orchestrator"
	"tresor/orchestrator/config"
	"tresor/orchestrator/job"
	"tresor/orchestrator/service"
	"tresor/orchestrator/storetest"
	"tresor/orchestrator/verify"
)

// silent hears what nobody is told in a test.
type silent struct{}

func (silent) Notify(orchestrator.Event) error { return nil }

// keeping is a keeper of a volume that has three backups of dc, made by the predecessor, of which its rules keep the newest. Each has the files that are
// given, beside a disk with its sum.
func keeping(t *testing.T, hook storetest.Hook, files ...string) (k *keeper, v service.Volume, names []string) {
	t.Helper()
	c := config.Default()
	c.Paths.State = t.TempDir()
	c.Retention.VolumeVersions, c.Retention.MinVersions = 1, 1
	dc := config.NewDir()
	dc.Name = "dc"
	c.Source.Dir = []config.Dir{dc}
	store := storetest.Dir(filepath.Join(t.TempDir(), "volume"))
	store.Hook = hook
	a := &app{cfg: c, clock: orchestrator.SystemClock(), logger: logrus.New()}
	a.logger.SetOutput(io.Discard)
	a.trends = newTrends(a, c)
	a.checker = &verify.Checker{Verifier: verify.New(verify.Options{})}
	var err error
	a.queue, err = job.Open(job.Options{Dir: filepath.Join(c.Paths.State, "jobs"), Random: rand.Reader, Verifier: (*appVerifier)(a), Notifier: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.queue.Close(); err != nil {
			t.Error(err)
		}
	})
	begun := time.Now().UTC().Add(-72 * time.Hour)
	for day := range 3 {
		name := orchestrator.BackupName("dc", begun.AddDate(0, 0, day))
		names = append(names, name)
		dir := filepath.Join(store.Root(), c.Paths.VolumeSubdir, name)
		err := os.MkdirAll(dir, 0o700)
		for _, file := range append([]string{"disk", "checksum.crc"}, files...) {
			text := map[string]string{"disk": "123456789", "checksum.crc": "disk:930766865 9 \n"}[file]
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &keeper{a, c}, service.Volume{Name: "d1", Store: store}, names
}

// TestFailedBackupOfThePredecessor: that all files of a backup are what they were does not make it whole. It is verified, and is neither listed as that nor
// kept in the place of a good one.
func TestFailedBackupOfThePredecessor(t *testing.T) {
	k, v, names := keeping(t, nil)
	newest := filepath.Join(v.Store.Root(), k.c.Paths.VolumeSubdir, names[2])
	if err := os.WriteFile(filepath.Join(newest, "STATUS.error"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if out, err := k.Verify(t.Context(), v, name); err != nil || out.Verdict != orchestrator.Verified {
			t.Fatalf("%s: %+v, %v", name, out, err)
		}
	}
	list, err := k.Backups(t.Context(), v)
	if err != nil || len(list) != 3 || list[1].Verdict != orchestrator.Verified || list[2].Verdict != orchestrator.Unreadable {
		t.Errorf("have %+v, %v; want that the newest failed", list, err)
	}
	p, err := k.Prune(t.Context(), v, nil, false, true)
	if err != nil || !slices.Equal(p.Removed, names[:1]) {
		t.Errorf("removes %q, %v; want %q: %q is the last good one", p.Removed, err, names[0], names[1])
	}
}

// TestPruneLeavesWhatIsVerified: a backup that goes by the rules stays while it is verified, and goes afterwards. The verification has its outcome.
func TestPruneLeavesWhatIsVerified(t *testing.T) {
	hook, reached, release := storetest.Hold(storetest.OpReadBack, 1)
	k, v, names := keeping(t, hook, "STATUS.ok")
	type outcome struct {
		v   orchestrator.Verification
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := k.Verify(t.Context(), v, names[0])
		done <- outcome{v, err}
	}()
	select {
	case <-reached:
	case o := <-done:
		t.Fatalf("nothing was read: %+v", o)
	}
	p, err := k.Prune(t.Context(), v, nil, false, false)
	if err != nil || !slices.Equal(p.Removed, names[1:2]) {
		t.Errorf("while %s is verified: removed %q, %v; want %q", names[0], p.Removed, err, names[1])
	}
	release()
	if o := <-done; o.err != nil || o.v.Verdict != orchestrator.Verified {
		t.Errorf("have %+v", o)
	}
	if p, err = k.Prune(t.Context(), v, nil, false, false); err != nil || !slices.Equal(p.Removed, names[:1]) {
		t.Errorf("afterwards: removed %q, %v; want %q", p.Removed, err, names[0])
	}
	if l, err := k.folder(v).List(t.Context()); err != nil || len(l.Backups) != 1 {
		t.Errorf("left %+v, %v", l, err)
	}
}
