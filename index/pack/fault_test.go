package pack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/fsck"
	"tresor/index/indextest"
	"tresor/index/pack"
	"tresor/integration/goldenvol"
)

// TestFaults fails the disk calls of a pack in turn: with EIO, with a full disk, with half of a transfer. Either the pack survives it, or it
// says so, no file is harmed, and the next one ends as one without a fault. So does one that goes on after a crash.
func TestFaults(t *testing.T) {
	r := newRig(t, 480, 360, 20)
	want := packedOf(t, r.m)
	r.m.Record()
	probe := r.m.Clone()
	probe.ResetCalls()
	if _, err := runOnly(t, probe, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := runOnly(t, r.m, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	half := len(r.m.Ops()) * 3 / 5
	interrupted := r.m.Crash(half, disktest.Keep, 0)
	later := interrupted.Clone()
	later.ResetCalls()
	if res, err := runOnly(t, later, pack.Options{}); err != nil || !res.Resumed {
		t.Fatalf("have %+v, %v", res, err)
	}
	cases, failed, tried := 0, 0, 0
	for from, disks := range map[string][2]*disktest.FS{
		"begin": {r.m.Crash(0, disktest.Keep, 0), probe}, "go on": {interrupted, later}} {
		calls := disks[1].Calls()
		for _, call := range disks[1].SortedCalls() {
			for n := range calls[call] {
				for i, fault := range []disktest.Fault{{}, {Err: unix.EIO, Partial: 5}, {Err: unix.ENOSPC}} {
					if tried++; tried%raceStride > 0 || !long() && (n%5 > 0 || (n+len(call.Site))%3 != i) {
						continue
					}
					fault.Call, fault.N = call, n
					img := disks[0].Clone()
					what := fmt.Sprintf("%s: %s in %s, call %d, %v", from, call.Kind, call.Site, n, fault.Err)
					if r.assertFault(what, img, fault, want) {
						failed++
					}
					cases++
					if t.Failed() {
						return
					}
				}
			}
		}
	}
	t.Logf("%d faults, %d of them ended a pack", cases, failed)
}

// assertFault packs with one fault and then without; it tells whether the fault ended the pack.
func (r *rig) assertFault(what string, m *disktest.FS, fault disktest.Fault, want map[string]string) (failed bool) {
	r.t.Helper()
	m.Inject(fault)
	p, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Write)
	if err == nil {
		_, err = pack.Run(context.Background(), p, pack.Options{})
		err = errors.Join(err, p.Close())
	}
	m.Heal()
	r.assertFiles(what, m)
	if err == nil {
		v := indextest.Describe(r.t, m, "/v")
		if _, statErr := m.Lstat(v.Path(".ddfspack")); statErr == nil {
			r.t.Errorf("%s: no error, and the plan is still there", what)
		}
	}
	if _, err := run(r.t, m, "/v", pack.Options{}); err != nil {
		r.t.Errorf("%s (%v): pack again: %v", what, err, err)
	}
	assertSame(r.t, fmt.Sprintf("%s (%v)", what, err), state(r.t, m), want)
	r.assertFiles(what+", again", m)
	m.CheckLeaks(r.t)
	return err != nil
}

// TestGolden packs volumes of the original: every file of the list has its content afterwards.
func TestGolden(t *testing.T) {
	for _, name := range []string{"tiger-4k-reclaimed", "sha1-4k-unreclaimed", "tiger-4k-everything", "tiger160-8k"} {
		t.Run(name, func(t *testing.T) {
			dir := goldenvol.Unpack(t, name)
			res, err := run(t, disk.OS(), dir, pack.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", res)
			v := indextest.Describe(t, disk.OS(), dir)
			sum := indextest.AssertStatus(t, disk.OS(), dir, fsck.OK, fsck.Lost)
			if sum.Used != sum.LastUsed+1 {
				t.Errorf("have %d used blocks up to block %d", sum.Used, sum.LastUsed)
			}
			for _, want := range goldenvol.Tree(t, name) {
				if want.Type != 'f' {
					continue
				}
				data, err := v.ReadFile(want.Path)
				have := sha256.Sum256(data)
				if err != nil || hex.EncodeToString(have[:]) != want.Sum {
					t.Errorf("%s: have %d bytes, %v, want %d with SHA-256 %s", want.Path, len(data), err, want.Size, want.Sum)
				}
			}
		})
	}
}

// TestTimesStay holds that files keep their times of modification.
func TestTimesStay(t *testing.T) {
	r := newRig(t, 600, 600, 21)
	dir := filepath.Join(t.TempDir(), "v")
	export(t, r, dir)
	name := filepath.Join(dir, format.RootName, "dir1/kept7")
	old := time.Unix(1234567890, 123456789)
	r.must(os.Chtimes(name, old, old))
	content, err := os.ReadFile(name)
	r.must(err)
	if _, err := run(t, disk.OS(), dir, pack.Options{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	r.must(err)
	now, err := os.ReadFile(name)
	r.must(err)
	if bytes.Equal(now, content) || !info.ModTime().Equal(old) {
		t.Errorf("rewritten: %v, have %v, want %v", !bytes.Equal(now, content), info.ModTime(), old)
	}
}
