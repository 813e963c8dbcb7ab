package job_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

// The child of the kill tests works off a fixed list of jobs in a directory, and is killed at the n-th step.
const (
	childDir  = "TRESOR_JOB_CHILD"
	childStep = "TRESOR_JOB_STEP"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	work := child
	if os.Getenv(childBig) != "" {
		work = bigChild
	}
	if err := work(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child makes the jobs that are not there, and works until nothing is left to do. Each step is a line of its output.
func child(dir string) error {
	kill, err := strconv.ParseInt(os.Getenv(childStep), 10, 64)
	if err != nil {
		return err
	}
	var n atomic.Int64
	step := func(name string) {
		os.Stdout.WriteString(name + "\n")
		if n.Add(1) == kill {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}
	store := storetest.Dir(filepath.Join(dir, "v1"))
	q, err := job.Open(job.Options{Dir: filepath.Join(dir, "jobs"), Random: rand.Reader, Verifier: &proof{dir: dir, plain: store}, Notifier: &mails{},
		Segment: 16384, Backoff: func(int) time.Duration { return 0 }, Step: step, SkipVerify: skipSecond,
		Release: func(_ context.Context, j job.Job) error {
			step("before release")
			if err := appendLine(filepath.Join(dir, "released"), j.Backup); err != nil {
				return err
			}
			step("after release")
			return nil
		}})
	if err != nil {
		return err
	}
	defer q.Close()
	for _, s := range killSpecs(dir) {
		if _, err := q.Add(s); err != nil {
			return err
		}
	}
	v := job.Volume{ID: "v1", Store: store}
	for {
		list, _ := q.Ready(v.ID)
		if len(list) == 0 {
			break
		}
		if j, err := q.Work(context.Background(), list[0].ID, v, nil); err != nil && j.Attempts == 0 {
			return fmt.Errorf("%s: %w", j.Backup, err)
		}
	}
	return q.Sweep(context.Background(), v)
}

func appendLine(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Close())
}

func killSpec(dir, machine string, n int) job.Spec {
	return job.Spec{Machine: machine, Backup: orchestrator.BackupName(machine, day(n)), Kind: "dir", Begun: day(n),
		From: []job.Root{{Path: orchestrator.Path(filepath.Join(dir, "sources", machine)), Name: "data"}}}
}

// killSpecs: one job that goes well, with the next one of its machine; one whose first copy is damaged; one whose both are; one without a source.
func killSpecs(dir string) []job.Spec {
	return []job.Spec{killSpec(dir, "well", 1), killSpec(dir, "well", 2), killSpec(dir, "once", 3), killSpec(dir, "twice", 4), killSpec(dir, "gone", 5)}
}

// skipSecond: the second backup of the first machine is not verified.
func skipSecond(j job.Job, _ job.Volume) string {
	if j.Machine == "well" && j.Begun.Equal(day(2)) {
		return "the test says so"
	}
	return ""
}

// killPlace is a directory in memory where there is one: what a killed process has written is there, synced or not.
func killPlace(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "tresor-job-")
	if err != nil || unix.Setxattr(dir, "user.test", nil, 0) != nil {
		os.RemoveAll(dir)
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for machine, size := range map[string]int{"well": 50000, "once": 20000, "twice": 5000} {
		spec(t, dir, machine, 1, size)
	}
	err = errors.Join(os.Mkdir(filepath.Join(dir, "v1"), 0o755), os.WriteFile(filepath.Join(dir, "flip."+orchestrator.BackupName("once", day(3))), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "flip."+orchestrator.BackupName("twice", day(4))+".always"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// runChild returns the steps that it came to, and whether it ended by itself.
func runChild(t *testing.T, dir string, kill int, after time.Duration) (steps []string, ended bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childDir+"="+dir, childStep+"="+strconv.Itoa(kill))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		defer time.AfterFunc(after, func() { cmd.Process.Kill() }).Stop()
	}
	err := cmd.Wait()
	for in := bufio.NewScanner(&out); in.Scan(); {
		steps = append(steps, in.Text())
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return steps, true
	case errors.As(err, &exit) && exit.ExitCode() == -1 && ctx.Err() == nil:
		return steps, false
	}
	t.Fatalf("child: %v\n%s", err, errs.String())
	return nil, false
}

// lookKilled is what must hold at any moment: whatever is in bazaar is whole and proved, and whatever was released is there.
func lookKilled(t *testing.T, dir, when string) {
	t.Helper()
	folder := filepath.Join(dir, "v1/bazaar")
	list, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range list {
		machine, _, _ := orchestrator.ParseBackupName(e.Name())
		want, _ := os.ReadFile(filepath.Join(dir, "sources", machine, "big"))
		have, err := os.ReadFile(filepath.Join(folder, e.Name(), "data/big"))
		record, err2 := os.ReadFile(filepath.Join(folder, e.Name(), "backup.json"))
		proved := bytes.Contains(record, []byte(`"verdict": "ok"`)) || bytes.Contains(record, []byte(`"reason": "the test says so"`))
		if err := errors.Join(err, err2); err != nil || !bytes.Equal(have, want) || !proved || machine == "twice" {
			t.Errorf("%s: %s was published: %d of %d bytes, record %s, %v", when, e.Name(), len(have), len(want), record, err)
		}
	}
	released, _ := os.ReadFile(filepath.Join(dir, "released"))
	for _, name := range strings.Fields(string(released)) {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Errorf("%s: the source of %s was released, and it is not published: %v", when, name, err)
		}
	}
}

// lookDone is what must hold when all is done.
func lookDone(t *testing.T, dir, when string) {
	t.Helper()
	lookKilled(t, dir, when)
	q, err := job.Open(job.Options{Dir: filepath.Join(dir, "jobs"), Random: rand.Reader, Verifier: &proof{}, Notifier: &mails{}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var have []string
	for _, j := range q.List() {
		have = append(have, fmt.Sprintf("%s %d %s", j.Machine, j.Begun.Day(), j.State))
		if j.State == job.Published && !j.Released || len(j.Leftovers) > 0 {
			t.Errorf("%s: job %+v is not done", when, j)
		}
	}
	want := []string{"well 1 published", "well 2 published", "once 3 published", "twice 4 failed", "gone 5 failed"}
	if !slices.Equal(have, want) {
		t.Errorf("%s: jobs ended as %q, want %q", when, have, want)
	}
	folders := map[string]string{"v1/bazaar": "", "v1/bazaar.tmp": "", "jobs": ""}
	for name := range folders {
		list, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Name() != "aside" && e.Name() != "evidence" && e.Name() != "lock" && !strings.HasSuffix(e.Name(), ".json") {
				folders[name] += e.Name() + " "
			}
		}
	}
	if n := strings.Count(folders["v1/bazaar"], " "); n != 3 {
		t.Errorf("%s: published are %s", when, folders["v1/bazaar"])
	}
	if want := orchestrator.BackupName("twice", day(4)) + ".crc-failed "; folders["v1/bazaar.tmp"] != want {
		t.Errorf("%s: left in staging: %s, want %s", when, folders["v1/bazaar.tmp"], want)
	}
	if strings.Contains(folders["jobs"], ".tmp") {
		t.Errorf("%s: left in the journal: %s", when, folders["jobs"])
	}
	if aside, err := os.ReadDir(filepath.Join(dir, "jobs/aside")); err != nil || len(aside) != 0 {
		t.Errorf("%s: set aside: %v, %v", when, aside, err)
	}
}

// TestKilledAtEveryStep kills the process at each step in turn (in the quick form not at each segment of a copy,
// and at the end of a step only if something happens before the next one).
func TestKilledAtEveryStep(t *testing.T) {
	dir := killPlace(t)
	steps, ended := runChild(t, dir, 0, 0)
	if !ended {
		t.Fatal("the run without a kill did not end")
	}
	lookDone(t, dir, "not killed")
	for _, kind := range []string{"journal .json", "journal .sums", "log", "put", "record of a backup", "staged", "discarded", "published", "crc-failed", "remove", "release"} {
		if !slices.Contains(steps, "before "+kind) || !slices.Contains(steps, "after "+kind) {
			t.Errorf("no step %q was reached: %q", kind, steps)
		}
	}
	if !slices.Contains(steps, "within remove") {
		t.Error("nothing was removed")
	}
	stride := 4
	if os.Getenv("TRESOR_LONG") == "1" {
		stride = 1
	}
	killed := 0
	for n, name := range steps {
		often := strings.HasSuffix(name, " log") || strings.HasSuffix(name, " put")
		same := strings.HasPrefix(name, "after ") && n+1 < len(steps) && strings.HasPrefix(steps[n+1], "before ") // nothing lies in between
		if stride > 1 && same || often && n%stride != 0 {
			continue
		}
		killed++
		t.Run(fmt.Sprintf("%d %s", n+1, name), func(t *testing.T) {
			t.Parallel()
			dir := killPlace(t)
			if _, ended := runChild(t, dir, n+1, 0); ended {
				t.Error("it was not reached")
			}
			lookKilled(t, dir, "killed")
			if _, ended := runChild(t, dir, 0, 0); !ended {
				t.Fatal("the next run did not end")
			}
			lookDone(t, dir, "run again")
		})
	}
	t.Logf("%d steps of %d kinds, killed at %d of them", len(steps), len(kinds(steps)), killed)
}

func kinds(steps []string) []string {
	sorted := slices.Clone(steps)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// TestKilledAtRandom kills runs at any moment, one after the other on the same directory, until one comes to its end.
func TestKilledAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TRESOR_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("TRESOR_SEED=%d", seed)
	rounds := 8
	if os.Getenv("TRESOR_LONG") == "1" {
		rounds = 100
	}
	random := mrand.New(mrand.NewPCG(seed, 0))
	begin := time.Now()
	if _, ended := runChild(t, killPlace(t), 0, 0); !ended {
		t.Fatal("the run without a kill did not end")
	}
	long := int(time.Since(begin).Microseconds())
	for round := range rounds {
		dir := killPlace(t)
		for n := 0; ; n++ {
			when := fmt.Sprintf("round %d, kill %d", round, n)
			_, ended := runChild(t, dir, 0, time.Duration(1+random.IntN(long*3/2))*time.Microsecond)
			lookKilled(t, dir, when)
			if ended {
				lookDone(t, dir, when)
				break
			}
		}
		os.RemoveAll(dir)
	}
}
