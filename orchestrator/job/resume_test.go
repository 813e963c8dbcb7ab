package job_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/job"
	"tresor/orchestrator/storetest"
)

// childBig is the length of the segments with which the child copies one long file; childStep is where in it the child dies.
const childBig = "TRESOR_JOB_BIG"

func bigJob(dir string) job.Spec { return killSpec(dir, "big", 1) }

// bigChild copies one file. It prints how much it has stored and read.
func bigChild(dir string) error {
	segment, err1 := strconv.ParseInt(os.Getenv(childBig), 10, 64)
	kill, err2 := strconv.ParseInt(os.Getenv(childStep), 10, 64)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("%w, %w", err1, err2)
	}
	store, put := storetest.Dir(filepath.Join(dir, "v1")), int64(0)
	store.BlockSize, store.Size = 128<<10, 8<<30
	store.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpPutBlock {
			if put += s.N; kill > 0 && s.Off+s.N >= kill {
				unix.Kill(os.Getpid(), unix.SIGKILL)
				select {}
			}
		}
		return nil
	}
	q, err := job.Open(job.Options{Dir: filepath.Join(dir, "jobs"), Random: rand.Reader, Verifier: &proof{}, Notifier: &mails{}, Segment: segment,
		SkipVerify: func(job.Job, job.Volume) string { return "only the copy is of interest" }})
	if err != nil {
		return err
	}
	defer q.Close()
	j, err := q.Add(bigJob(dir))
	if err != nil {
		return err
	}
	if _, err := q.Work(context.Background(), j.ID, job.Volume{ID: "v1", Store: store}, nil); err != nil {
		return err
	}
	io, err := os.ReadFile("/proc/self/io")
	fmt.Printf("put: %d\n%s", put, io)
	return err
}

// TestKilledAtNinetyPercent: the second run reads at most 15 % of the source, by the count of the kernel. The form with a real volume is integration/resume.
func TestKilledAtNinetyPercent(t *testing.T) {
	size, segment := int64(48<<20), int64(1536<<10) // in proportion to the long form
	if os.Getenv("TRESOR_LONG") == "1" {
		size, segment = 2<<30, 64<<20
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "sources/big/disk image")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, mrand.NewChaCha8([32]byte{1}), size-100); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, ended := bigRun(t, dir, segment, size/10*9); ended {
		t.Fatal("the first run was not killed")
	}
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil { // what is in memory need not be read
		t.Fatal(err)
	}
	have, ended := bigRun(t, dir, segment, 0)
	if !ended {
		t.Fatal("the second run did not end")
	}
	limit := size * 15 / 100
	if have["put"] > limit || have["put"] < size/10 || have["rchar"] > limit {
		t.Errorf("the second run stored %d bytes and read %d by all calls, want at most 15 %% of %d (%d)", have["put"], have["rchar"], size, limit)
	}
	switch read := have["read_bytes"]; {
	case read == 0:
		t.Log("what is read of this disk is not counted: it may be in memory")
	case read > limit || read < size/20:
		t.Errorf("the second run read %d bytes, want at most 15 %% of %d (%d)", read, size, limit)
	}
	share := func(key string) float64 { return 100 * float64(have[key]) / float64(size) }
	t.Logf("%d bytes in segments of %d, killed at 90 %%: the second run stored %.1f %%, and read %.1f %% from the disk (%.1f %% by all calls)", size, segment, share("put"),
		share("read_bytes"), share("rchar"))
	if out, err := exec.Command("cmp", name, filepath.Join(dir, "v1/bazaar", bigJob(dir).Backup, "data/disk image")).CombinedOutput(); err != nil {
		t.Errorf("source and copy differ: %s", out)
	}
}

func bigRun(t *testing.T, dir string, segment, kill int64) (map[string]int64, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=none")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childDir+"="+dir, childBig+"="+strconv.FormatInt(segment, 10), childStep+"="+strconv.FormatInt(kill, 10))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("child: %v\n%s", err, errs.String())
	}
	figures := map[string]int64{}
	for in := bufio.NewScanner(&out); in.Scan(); {
		key, value, _ := strings.Cut(in.Text(), ": ")
		if figures[key], err = strconv.ParseInt(value, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return figures, cmd.ProcessState.Success()
}

// TestSumsOfResumedFile: the sums of a file that was copied in two runs are those of the whole, and all of what was not told of is read back.
func TestSumsOfResumedFile(t *testing.T) {
	r := newRig(t)
	r.open()
	j := r.add("a", 1, 100000)
	r.p1.Hook = storetest.Fail(storetest.OpPut, 5, unix.EIO)
	if _, err := r.work(j, r.v1); err == nil {
		t.Fatal("the fault did not show")
	}
	var first int64
	r.p1.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpPut && strings.HasSuffix(s.Path, "/big") && first == 0 {
			first = s.Off
		}
		return nil
	}
	r.open()
	done, err := r.work(j, r.v1)
	if err != nil || done.State != job.Published || done.Checked.Verdict != orchestrator.Verified {
		t.Fatalf("%+v, %v", done, err)
	}
	if first != 4*16384 {
		t.Errorf("the second run began at %d, want %d", first, 4*16384)
	}
	if done.Result.Bytes != 100001 || done.Result.NewBytes < 98304 {
		t.Errorf("counted over both runs: %+v", done.Result)
	}
}
