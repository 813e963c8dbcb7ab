package signal_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tresor/orchestrator/signal"
)

func lease(t *testing.T, f *signal.Folder, owner string, ttl time.Duration) *signal.Lease {
	t.Helper()
	l, err := f.Lease(owner, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func release(t *testing.T, l *signal.Lease) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

// TestLeases: copies pause until the last lease ends, whoever removes the file meanwhile.
func TestLeases(t *testing.T) {
	dir := t.TempDir()
	f, l := run(t, dir, nil)
	a, b := lease(t, f, "cloner of dc", 0), lease(t, f, "cloner of dc-2", 0)
	l.want(t, "waita+tresor lease, see tresor status")
	if owners := f.Owners(); !slices.Equal(owners, []string{"cloner of dc", "cloner of dc-2"}) {
		t.Errorf("owners %q", owners)
	}
	remove(t, dir, "waita") // a script that believes it is its own
	release(t, a)
	release(t, a)
	for end := time.Now().Add(time.Minute); !there(dir, signal.WaitA); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the file for scripts does not come back")
		}
		if !f.Active(signal.WaitA) {
			t.Fatal("the pause ended while a lease is held")
		}
	}
	release(t, b)
	l.want(t, "waita-")
	if there(dir, signal.WaitA) || f.Active(signal.WaitA) || len(f.Owners()) != 0 {
		t.Error("the pause goes on without a lease")
	}
	if err := a.Renew(); err == nil {
		t.Error("renew what has ended: no error")
	}
	if _, err := f.Lease("", 0); err == nil {
		t.Error("a lease of nobody: no error")
	}
}

// TestForeign: the file of somebody else outlives our leases.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	f, l := run(t, dir, nil)
	touch(t, dir, "waita", "by hand")
	l.want(t, "waita+by hand")
	a := lease(t, f, "cloner", 0)
	release(t, a)
	if !there(dir, signal.WaitA) || !f.Active(signal.WaitA) {
		t.Error("the end of a lease ended the pause of somebody else")
	}
	remove(t, dir, "waita")
	l.want(t, "waita-")
}

func TestExpiry(t *testing.T) {
	var hours atomic.Int64
	start := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	clock := slowClock{func() time.Time { return start.Add(time.Duration(hours.Load()) * time.Hour) }}
	dir := t.TempDir()
	f := open(t, dir, clock)
	a := lease(t, f, "cloner", 2*time.Hour)
	hours.Store(1)
	if err := a.Renew(); err != nil {
		t.Fatal(err)
	}
	hours.Store(2)
	if !f.Active(signal.WaitA) {
		t.Error("a lease that was renewed has ended")
	}
	hours.Store(4)
	if f.Active(signal.WaitA) {
		t.Error("a lease whose time is over holds")
	}
	if err := a.Renew(); err == nil || !strings.Contains(err.Error(), "cloner") {
		t.Errorf("renew: %v", err)
	}
}

// TestLeftBehind: what a killed process of ours left is no pause of the next, and what others left is.
func TestLeftBehind(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "waita", "tresor lease, see tresor status\n")
	touch(t, dir, ".tmp-wait", "half")
	touch(t, dir, ".consumed-switch", "")
	f := open(t, dir, nil)
	if f.Active(signal.WaitA) || there(dir, signal.WaitA) || there(dir, ".tmp-wait") || there(dir, ".consumed-switch") {
		t.Error("left behind")
	}
	touch(t, dir, "waita", "12345\n")
	if f := open(t, dir, nil); !f.Active(signal.WaitA) {
		t.Error("the pause of somebody else is gone")
	}
}
