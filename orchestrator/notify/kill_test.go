package notify_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"tresor/orchestrator/notify"
	"tresor/orchestrator/notify/smtpsink"
)

// victim is a process that tells events and sends them until it is killed. It prints the number of each event that was kept.
func victim(dir string) error {
	port, err := strconv.Atoi(os.Getenv("NOTIFY_TEST_PORT"))
	if err != nil {
		return err
	}
	mail := notify.Mail{Host: "127.0.0.1", Port: port, Security: notify.NoTLS, From: "tresor@example.org", To: []string{"ops@example.org"}}
	n, err := notify.Open(notify.Options{Dir: dir, Host: "vault", Channels: mail.Channels(), First: time.Millisecond, Longest: time.Millisecond, Limit: 1 << 20})
	if err != nil {
		return err
	}
	go func() { _ = n.Run(context.Background()) }()
	first, err := strconv.Atoi(os.Getenv("NOTIFY_TEST_FIRST"))
	if err != nil {
		return err
	}
	for i := first; ; i++ {
		if err := n.Notify(failure(fmt.Sprintf("event %d", i))); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// TestKilled kills the process at random moments, many times. Each event that was said to be kept arrives, and what arrives twice has the same id.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRESOR_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("TRESOR_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	sink := startSink(t, smtpsink.Options{Answer: func(step smtpsink.Step, _ string) error {
		if step == smtpsink.Kept { // taken, and the process may die before it knows
			time.Sleep(time.Millisecond)
		}
		return nil
	}})
	dir, kept, next := t.TempDir(), map[string]bool{}, 0
	rounds := 8
	if os.Getenv("TRESOR_LONG") != "" {
		rounds = 200
	}
	for range rounds {
		next = killed(t, dir, sink.Port(), next, r.IntN(40), kept) + 1
	}
	if len(kept) == 0 {
		t.Fatal("nothing was ever kept")
	}
	n, _ := start(t, notify.Options{Dir: dir, Channels: mailTo(sink, "ops@example.org").Channels(), Limit: 1 << 20})
	t.Logf("%d wait after %d kills", len(n.Pending()), rounds)
	for end := time.Now().Add(5 * time.Minute); len(n.Pending()) > 0; time.Sleep(10 * time.Millisecond) { // one after the other, each with its sync
		if time.Now().After(end) {
			t.Fatalf("%d wait still, the first: %+v", len(n.Pending()), n.Pending()[0])
		}
	}
	flush(t, n)
	byID, twice := map[string]string{}, 0
	bySubject := map[string]string{}
	for _, m := range sink.Mails() {
		if old, ok := byID[m.ID()]; ok {
			twice++
			if old != m.Subject {
				t.Errorf("one id for %q and %q", old, m.Subject)
			}
		}
		if id, ok := bySubject[m.Subject]; ok && id != m.ID() {
			t.Errorf("%q came with two ids", m.Subject)
		}
		byID[m.ID()], bySubject[m.Subject] = m.Subject, m.ID()
	}
	for i := range kept {
		if bySubject["vault 2026-11-22 20:00 FAILURE!!! event "+i] == "" {
			t.Errorf("event %s was kept and never arrived", i)
		}
	}
	t.Logf("%d kept, %d mails, %d of them twice, %d kills", len(kept), len(sink.Mails()), twice, rounds)
	if files(t, dir) != 0 {
		t.Errorf("%d files left", files(t, dir))
	}
}

// killed runs the process until it has kept some events, kills it, and returns the last number that it may have used.
func killed(t *testing.T, dir string, port, first, events int, kept map[string]bool) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "NOTIFY_TEST_DIR="+dir, fmt.Sprintf("NOTIFY_TEST_PORT=%d", port), fmt.Sprintf("NOTIFY_TEST_FIRST=%d", first))
	var messages strings.Builder
	cmd.Stderr = &messages
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := first
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		kept[lines.Text()] = true
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if n == events {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the process was to be killed: %v\n%s", err, messages.String())
	}
	return last + 1 // the next one may be on the disk without having been printed
}
