package copier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// TestChangedBetweenRuns interrupts a copy, changes the source in every way, and goes on: the copy is what the source is then.
func TestChangedBetweenRuns(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a gone", "b changed", "c same", "d dir/x", "e becomes a dir", "f long", "h hard"} {
		r.write(name, text(3*16384+5, byte(len(name)))+name)
	}
	hard := filepath.Join(r.src, "g hard too")
	if err := os.Link(filepath.Join(r.src, "h hard"), hard); err != nil {
		t.Fatal(err)
	}
	puts := 0
	r.store.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpPut {
			if puts++; puts == 27 { // in the middle of the last file
				return unix.EIO
			}
		}
		return nil
	}
	if _, err := r.try(t.Context()); !errors.Is(err, unix.EIO) {
		t.Fatalf("want the fault, have %v", err)
	}
	for _, err := range []error{os.Remove(filepath.Join(r.src, "a gone")), os.RemoveAll(filepath.Join(r.src, "d dir")), os.Remove(filepath.Join(r.src, "e becomes a dir")),
		os.Remove(hard), os.Symlink("c same", filepath.Join(r.src, "d dir"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.write("b changed", text(3*16384+5, 77)+"b changed")
	r.write("e becomes a dir/file", "x")
	r.write("g hard too", "a file of its own") // must not change what its other name was
	r.write("i new", "x")
	stored := map[string]int{}
	r.store.Hook = func(_ context.Context, s storetest.Step) error {
		if s.Op == storetest.OpPut {
			stored[filepath.Base(s.Path)]++
		}
		return nil
	}
	result := r.copy()
	r.same(result)
	if stored["c same"] != 0 || stored["f long"] != 0 || stored["b changed"] != 4 {
		t.Errorf("stored in the second run: %v", stored)
	}
	for range 2 { // nothing is left to do
		stored = map[string]int{}
		r.same(r.copy())
		if len(stored) != 0 {
			t.Errorf("stored again: %v", stored)
		}
	}
}

// TestEveryInterruption fails each Put in turn; what comes after has the sums of a copy in one go, and tells of all that may be new.
func TestEveryInterruption(t *testing.T) {
	for n := 1; ; n++ {
		r := newRig(t)
		r.write("a", text(5*16384, 1))
		r.write("b", text(40000, 2))
		r.store.Hook = storetest.Fail(storetest.OpPutDone, n, unix.EIO) // it is stored, and nobody is told
		_, err := r.try(t.Context())
		if err == nil {
			if n != 9 {
				t.Errorf("the copy has %d puts, want 8", n-1)
			}
			return
		}
		r.store.Hook, r.opts.Again = nil, true
		result := r.copy()
		r.same(result)
		for _, s := range result.Sums {
			fresh := uint64(0)
			for _, b := range s.Fresh {
				fresh += b.Count
			}
			if !s.Whole && fresh != uint64(s.Size+4095)/4096 {
				t.Errorf("put %d: %q is new, but only %d blocks of it are said to be, and not all of it", n, s.Path, fresh)
			}
		}
	}
}

// TestTornLog cuts the log at random places and spoils bytes of it: the copy is right in any case.
func TestTornLog(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("TRESOR_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("TRESOR_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	r.write("a", text(5*16384, 1))
	r.write("b", text(40000, 2))
	r.store.Hook = storetest.Fail(storetest.OpPut, 8, unix.EIO)
	if _, err := r.try(t.Context()); err == nil {
		t.Fatal("the fault did not show")
	}
	r.store.Hook = nil
	whole, err := os.ReadFile(r.log)
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		torn := bytes.Clone(whole[:random.IntN(len(whole)+1)])
		if len(torn) > 0 && random.IntN(2) == 0 {
			torn[random.IntN(len(torn))] ^= 1 << random.IntN(8)
		}
		if err := os.WriteFile(r.log, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		r.same(r.copy())
	}
}

// TestChangedWhileRead changes a file at each of its readings.
func TestChangedWhileRead(t *testing.T) {
	for changes, want := range map[int]string{1: "", 2: "", 99: "changed while it was read"} {
		t.Run(fmt.Sprint(changes), func(t *testing.T) {
			r := newRig(t)
			r.write("calm", "x")
			name := r.write("log", text(40000, 1))
			done := 0
			r.opts.read = func(f *os.File, p []byte, off int64) (int, error) {
				n, err := f.ReadAt(p, off)
				if off <= 16384 && off+int64(len(p)) > 16384 && done < changes {
					done++
					g, e := os.OpenFile(name, os.O_WRONLY, 0)
					if e == nil {
						_, e = g.WriteAt([]byte(fmt.Sprintf("<%d>", done)), 100)
						_, e2 := g.WriteAt([]byte("more"), 40000+int64(4*done))
						e = errors.Join(e, e2, g.Close())
					}
					if e != nil {
						t.Error(e)
					}
				}
				return n, err
			}
			result := r.copy()
			r.sums(result) // those of the copy, whatever it has caught
			if have := strings.Join(result.Partial, " "); want == "" && have != "" || !strings.Contains(have, want) || len(result.Sums) != 2 {
				t.Errorf("%d changes: listed %q, want %q", changes, have, want)
			}
			if want == "" {
				r.same(result)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	r := newRig(t)
	r.write("a", "x")
	held := r.write("b held by a lease", "x") // a file that cannot be opened, not even by root
	r.write("c bad", text(50000, 1))
	r.write("d", "x")
	f, err := os.OpenFile(held, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no leases on this file system: %v", err)
	}
	r.opts.read = func(f *os.File, p []byte, off int64) (int, error) {
		if off == 32768 {
			return 0, unix.EIO
		}
		return f.ReadAt(p, off)
	}
	result := r.copy()
	r.sums(result)
	have := strings.Join(result.Partial, "\n")
	if len(result.Sums) != 2 || len(result.Partial) != 2 || !strings.Contains(have, `"data/in/b held by a lease": open: `) ||
		!strings.Contains(have, `"data/in/c bad": read: input/output error`) {
		t.Errorf("listed: %s, copied %d", have, len(result.Sums))
	}
	if _, err := os.Lstat(r.target("c bad")); !os.IsNotExist(err) {
		t.Errorf("half of a file is in the copy: %v", err)
	}
	r.opts.Strict = true
	if _, err := r.try(t.Context()); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("strict: %v", err)
	}
}

func TestTargetFails(t *testing.T) {
	r := newRig(t)
	r.write("a", text(50000, 1))
	r.store.Hook = storetest.Fail(storetest.OpPut, 2, unix.ENOSPC)
	if result, err := r.try(t.Context()); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a full target was listed as an unreadable source: %+v, %v", result, err)
	}
}

func TestCancelled(t *testing.T) {
	r := newRig(t)
	r.write("a", text(50000, 1))
	why := errors.New("enough")
	for _, op := range []storetest.Op{storetest.OpPut, storetest.OpPutBlock, storetest.OpPutDone} {
		ctx, cancel := context.WithCancelCause(t.Context())
		hook, reached, release := storetest.Hold(op, 2)
		r.store = storetest.Dir(r.store.Root())
		r.store.Hook, r.opts.Target = hook, r.store
		ended := make(chan error, 1)
		go func() { _, err := r.try(ctx); ended <- err }()
		<-reached
		begin := time.Now()
		cancel(why)
		if err := <-ended; !errors.Is(err, why) || time.Since(begin) > 20*time.Second {
			t.Errorf("%s: %v after %v", op, err, time.Since(begin))
		}
		release()
		if err := os.Remove(r.log); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := r.try(ended); !errors.Is(err, why) {
		t.Errorf("cancelled before: %v", err)
	}
}

func TestSocketAndRootFile(t *testing.T) {
	r := newRig(t)
	r.write("file", "x")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(r.src, "sock")}); err != nil {
		t.Skipf("socket: %v", err)
	}
	r.opts.Roots = append(r.opts.Roots, orchestrator.Root{Path: filepath.Join(r.src, "file"), Name: "etc/one file"})
	result := r.copy()
	if len(result.Sums) != 2 || len(result.Partial) != 0 || len(result.Skipped) != 1 || !strings.Contains(result.Skipped[0], "socket") {
		t.Errorf("%+v", result)
	}
}
