package runlog_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/sirupsen/logrus"

	"tresor/orchestrator"
	"tresor/orchestrator/runlog"
)

// TestMain is also the process that is killed in the middle of a run.
func TestMain(m *testing.M) {
	if dir := os.Getenv("RUNLOG_TEST_DIR"); dir != "" {
		if err := victim(dir, os.Getenv("RUNLOG_TEST_ID")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func victim(dir, id string) error {
	logs, err := runlog.Open(runlog.Options{Dir: dir})
	if err != nil {
		return err
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.AddHook(logs)
	if _, err := logs.Begin(id, "victim"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		log.WithField(runlog.Field, id).Infof("number %d", i)
		fmt.Println(i)
	}
}

type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *fakeClock) Sleep(ctx context.Context, _ time.Duration) error {
	return orchestrator.SystemClock().Sleep(ctx, time.Millisecond)
}

var start = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// id of a run that begins n hours after start.
func id(t *testing.T, n int) string {
	t.Helper()
	u, err := ulid.New(ulid.Timestamp(start.Add(time.Duration(n)*time.Hour)), bytes.NewReader(make([]byte, 10)))
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// open returns logs, a logger with the hooks, and what goes to the terminal.
func open(t *testing.T) (*runlog.Logs, *logrus.Logger, *bytes.Buffer, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "runs")
	secrets := runlog.NewRedactor()
	secrets.Add(`pass"wort/ö&`, "abc", "  tok-en\n")
	logs, err := runlog.Open(runlog.Options{Dir: dir, Clock: &fakeClock{now: start}, Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := logrus.New()
	log.SetOutput(&out)
	log.SetLevel(logrus.DebugLevel)
	log.SetFormatter(&logrus.TextFormatter{DisableColors: true})
	log.AddHook(secrets)
	log.AddHook(logs)
	return logs, log, &out, dir
}

func begin(t *testing.T, logs *runlog.Logs, id, what string) *runlog.Run {
	t.Helper()
	r, err := logs.Begin(id, what)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lines(t *testing.T, logs *runlog.Logs, id string) (list []runlog.Line) {
	t.Helper()
	if err := logs.Read(context.Background(), id, false, func(l runlog.Line) error { list = append(list, l); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRun(t *testing.T) {
	logs, log, out, _ := open(t)
	a, b := id(t, 0), id(t, 1)
	run, other := begin(t, logs, a, "all machines"), begin(t, logs, b, "other")
	log.WithField(runlog.Field, a).WithFields(logrus.Fields{"bytes": int64(1) << 40, "took": 3 * time.Second, "machine": "büro 2"}).Info("copied")
	log.WithField(runlog.Field, b).Warn("of the other run")
	log.Info("of no run")
	log.WithField(runlog.Field, a).WithError(fmt.Errorf("read /x: %w", os.ErrPermission)).WithField("odd", make(chan int)).Error("first\nsecond\x1b[2J")
	if err := run.End(runlog.Partial); err != nil {
		t.Fatal(err)
	}
	log.WithField(runlog.Field, a).Info("too late")
	if err := run.End(runlog.OK); err != nil {
		t.Errorf("second end: %v", err)
	}
	have := lines(t, logs, a)
	if len(have) != 4 || have[0].Text != "begin: all machines" || have[1].Fields["bytes"] != float64(1<<40) || have[1].Fields["took"] != "3s" ||
		have[2].Fields["error"] != "read /x: permission denied" || have[2].Level != "error" || have[3].Result != runlog.Partial {
		t.Errorf("have %+v", have)
	}
	var text bytes.Buffer
	if err := logs.WriteText(context.Background(), a, &text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"INFO    copied  bytes=1099511627776  machine=\"büro 2\"  took=3s\n", "ERROR   first\n    second\uFFFD[2J  error=", "end: partial after 0s\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("text has no %q:\n%s", want, text.String())
		}
	}
	for _, want := range []string{"copied", "of the other run", "of no run", "too late"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("terminal has no %q", want)
		}
	}
	list, err := logs.List()
	if err != nil || len(list) != 2 || list[0].ID != b || !list[0].InUse || list[0].Result != "" || list[1].InUse || list[1].Result != runlog.Partial ||
		list[1].What != "all machines" || !list[1].Begun.Equal(start) {
		t.Errorf("list %+v, %v", list, err)
	}
	if err := other.End(runlog.OK); err != nil {
		t.Fatal(err)
	}
}

// TestSecrets looks for them in everything that is written.
func TestSecrets(t *testing.T) {
	logs, log, out, dir := open(t)
	a := id(t, 0)
	run := begin(t, logs, a, `with pass"wort/ö&`)
	e := log.WithField(runlog.Field, a)
	e.Infof(`login with pass"wort/ö& and %q`, `pass"wort/ö&`)
	e.WithError(errors.New(`post https://x/pass%22wort%2F%C3%B6&?t=pass%22wort%2F%C3%B6%26`)).Error("AUTH PLAIN cGFzcyJ3b3J0L8O2Jg== refused")
	e.WithField("list", []string{"tok-en"}).WithField("n", 5).Warn("abc stays, it is too short")
	if err := run.End(runlog.OK); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, a+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"wort", "tok-en", "cGFzcy"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the terminal has %q:\n%s", secret, out.String())
		}
		if strings.Contains(string(text), secret) {
			t.Errorf("the file has %q:\n%s", secret, text)
		}
	}
	if !strings.Contains(string(text), "abc stays") || !strings.Contains(string(text), `"n":5`) || strings.Count(string(text), runlog.Hidden) < 6 {
		t.Errorf("file:\n%s", text)
	}
	secrets := runlog.NewRedactor()
	secrets.Add("secret-1")
	inner := fmt.Errorf("fine: %w", os.ErrNotExist)
	if err := secrets.Error(inner); !errors.Is(err, os.ErrNotExist) || secrets.Error(nil) != nil {
		t.Errorf("an error without secrets: %v", err)
	}
	if err := secrets.Error(errors.New("it is secret-1")); err.Error() != "it is ***" {
		t.Errorf("have %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, a+".jsonl")); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("mode %v, %v: the log is readable for everybody", info.Mode(), err)
	}
}

// TestKilled: all lines that were logged are there, the run is no longer in use, and it goes on in the same file.
func TestKilled(t *testing.T) {
	logs, log, _, dir := open(t)
	a := id(t, 0)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "RUNLOG_TEST_DIR="+dir, "RUNLOG_TEST_ID="+a)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	printed := bufio.NewScanner(out)
	for range 50 {
		printed.Scan()
	}
	if list, err := logs.List(); err != nil || len(list) != 1 || !list[0].InUse {
		t.Errorf("while the process lives: %+v, %v", list, err)
	}
	if _, err := logs.Begin(a, "second"); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("begin beside the process: %v", err)
	}
	if gone, err := logs.Collect(runlog.Limits{Age: time.Nanosecond}, nil); err != nil || len(gone) != 0 {
		t.Errorf("collected %v, %v, want nothing: it is in use", gone, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	n := 50
	for printed.Scan() {
		n++
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	have := lines(t, logs, a)
	if len(have) < n+1 {
		t.Errorf("%d lines, want the %d that were logged and the first", len(have), n)
	}
	torn, err := os.OpenFile(filepath.Join(dir, a+".jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`{"time":"2026-11-22T20:00:00Z","level":"inf`); err != nil {
		t.Fatal(err)
	}
	if err := torn.Close(); err != nil {
		t.Fatal(err)
	}
	if last := lines(t, logs, a); !last[len(last)-1].Torn || len(last) != len(have)+1 {
		t.Errorf("the torn line is read as %+v", last[len(last)-1])
	}
	run := begin(t, logs, a, "again")
	log.WithField(runlog.Field, a).Info("after the crash")
	if err := run.End(runlog.OK); err != nil {
		t.Fatal(err)
	}
	after := lines(t, logs, a)[len(have):]
	if len(after) != 4 || !after[0].Torn || after[1].Text != "begin: again" || after[2].Text != "after the crash" || after[3].Result != runlog.OK {
		t.Errorf("after the crash: %+v", after)
	}
}

func TestFollow(t *testing.T) {
	logs, log, _, _ := open(t)
	a := id(t, 0)
	run := begin(t, logs, a, "followed")
	seen := make(chan runlog.Line, 100)
	ended := make(chan error, 1)
	follow := func(ctx context.Context) {
		ended <- logs.Read(ctx, a, true, func(l runlog.Line) error { seen <- l; return nil })
	}
	go follow(context.Background())
	<-seen
	for i := range 10 {
		log.WithField(runlog.Field, a).Infof("number %d", i)
		if l := <-seen; l.Text != fmt.Sprintf("number %d", i) {
			t.Errorf("have %q", l.Text)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended2 := make(chan error, 1)
	go func() {
		ended2 <- logs.Read(ctx, a, true, func(runlog.Line) error { return nil })
	}()
	cancel()
	if err := <-ended2; err != nil {
		t.Errorf("a reader that goes away: %v", err)
	}
	if err := run.End(runlog.OK); err != nil {
		t.Fatal(err)
	}
	if l := <-seen; l.Result != runlog.OK {
		t.Errorf("last %+v", l)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !slices.Equal([]int{len(seen)}, []int{0}) {
		t.Errorf("%d lines more", len(seen))
	}
}

func TestFind(t *testing.T) {
	logs, _, _, dir := open(t)
	if _, err := logs.Find(""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no runs: %v", err)
	}
	for i := range 3 {
		if err := begin(t, logs, id(t, i), "x").End(runlog.OK); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ prefix, want, wantErr string }{
		{"", id(t, 2), ""}, {id(t, 1), id(t, 1), ""}, {strings.ToLower(id(t, 0)), id(t, 0), ""}, {"01", "", "3 runs begin so"}, {"7", "", "there is none"},
	} {
		have, err := logs.Find(c.prefix)
		if have != c.want || (err == nil) != (c.wantErr == "") || err != nil && !strings.Contains(err.Error(), c.wantErr) {
			t.Errorf("find %q: have %q, %v, want %q, %q", c.prefix, have, err, c.want, c.wantErr)
		}
	}
	for _, bad := range []string{"", "../x", strings.ToLower(id(t, 0)), "01JD"} {
		if _, err := logs.Begin(bad, "x"); err == nil || !strings.Contains(err.Error(), "no ULID") {
			t.Errorf("begin %q: %v", bad, err)
		}
	}
}

func TestCollect(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits runlog.Limits
		needed []string // by a message that waits
		want   []int    // that stay; 0 is in use, 5 is the newest
	}{
		{"no limit", runlog.Limits{}, nil, []int{0, 1, 2, 3, 4, 5}},
		{"count", runlog.Limits{Runs: 2}, nil, []int{0, 4, 5}},
		{"age", runlog.Limits{Age: 150 * time.Minute}, nil, []int{0, 3, 4, 5}},
		{"size", runlog.Limits{Bytes: 1000}, nil, []int{0, 4, 5}},
		{"all at once", runlog.Limits{Runs: 4, Age: 90 * time.Minute, Bytes: 1 << 20}, nil, []int{0, 4, 5}},
		{"a message waits", runlog.Limits{Runs: 1}, []string{id(t, -3)}, []int{0, 2, 5}},
		{"the newest alone is too long", runlog.Limits{Bytes: 10}, nil, []int{0, 5}},
		{"all are too old", runlog.Limits{Age: time.Nanosecond}, nil, []int{0, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs, _, _, dir := open(t)
			var live *runlog.Run
			for i := range 6 {
				run := begin(t, logs, id(t, i-5), strings.Repeat("x", 200))
				if i == 0 {
					live = run
				} else if err := run.End(runlog.OK); err != nil {
					t.Fatal(err)
				}
			}
			foreign := filepath.Join(dir, "foreign.jsonl")
			if err := os.WriteFile(foreign, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := logs.Collect(c.limits, c.needed); err != nil {
				t.Fatal(err)
			}
			list, err := logs.List()
			if err != nil {
				t.Fatal(err)
			}
			var have []int
			for _, l := range slices.Backward(list) {
				have = append(have, int(l.Begun.Sub(start)/time.Hour)+5)
			}
			if !slices.Equal(have, c.want) {
				t.Errorf("have %v, want %v", have, c.want)
			}
			if _, err := os.Stat(foreign); err != nil {
				t.Errorf("a foreign file: %v", err)
			}
			if err := live.End(runlog.OK); err != nil {
				t.Error(err)
			}
		})
	}
}
