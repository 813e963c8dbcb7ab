package engine_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/cmd/internal/engine"
	"tresor/cmd/internal/mounted"
	"tresor/index/format"
	"tresor/integration/mounttest"
	"tresor/orchestrator"
	"tresor/orchestrator/storetest"
)

// soon is how long something may take that would else take a minute or more: on a busy disk the close of a volume takes seconds.
const soon = 30 * time.Second

// daemon is the process that serves the volume: who has its block file open.
func (r *rig) daemon() int {
	r.t.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range dirs {
		if to, err := os.Readlink(fd); err == nil && to == filepath.Join(r.parent, "ddfsblocks") {
			pid, err := strconv.Atoi(strings.Split(fd, "/")[2])
			if err == nil && pid != os.Getpid() {
				return pid
			}
		}
	}
	r.t.Fatal("no process serves the volume")
	return 0
}

// source is an open file with data.
func source(t *testing.T, data []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// pattern has blocks that are all different.
func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// empty makes a file of n bytes in the tree.
func empty(t *testing.T, s orchestrator.Store, path string, n int64) {
	t.Helper()
	name := filepath.Join(s.Root(), path)
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, n)); err != nil {
		t.Fatal(err)
	}
}

// Names may hold anything; what is mounted can be opened by others, is told who holds it, and is closed and clean afterwards.
func TestMountAndUnmount(t *testing.T) {
	dir := filepath.Join(mounttest.Dir(t), "a, b=ü\\ -o x")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, dir, orchestrator.MakeOptions{})
	r.point += " ,é"
	if err := os.Mkdir(r.point, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.e.Unmount(t.Context(), r.point); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unmount of nothing: have %v", err)
	}
	if _, err := r.e.Open(t.Context(), r.point); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of nothing: have %v", err)
	}
	if _, err := r.e.Open(t.Context(), "/proc"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("open of another file system: have %v", err)
	}
	s := r.mount(orchestrator.MountOptions{Workers: 1, Check: true})
	if s.Root() != r.point {
		t.Errorf("have root %q, want %q", s.Root(), r.point)
	}
	if _, err := r.e.Mount(t.Context(), orchestrator.MountOptions{Parent: r.parent, Point: r.point}); !errors.Is(err, unix.EBUSY) {
		t.Errorf("mounted twice: have %v", err)
	}
	data := pattern(1, 300000)
	empty(t, s, "f", 300000)
	if _, err := storetest.PutFile(t.Context(), s, "f", source(t, data), 0, 300000); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(r.point, "f"))
	if err != nil {
		t.Fatal(err)
	}
	var inUse *orchestrator.InUseError
	// This process itself is left out of the holders, so another one has to be.
	c := holder(t, r.point)
	err = r.e.Unmount(t.Context(), r.point)
	if !errors.As(err, &inUse) || len(inUse.Holders) == 0 || !strings.Contains(strings.Join(inUse.Holders, ","), strconv.Itoa(c)) {
		t.Errorf("in use: have %v, want process %d among the holders", err, c)
	}
	f.Close()
	if err := unix.Kill(c, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	mounttest.Until(soon, func() bool { err = r.e.Unmount(t.Context(), r.point); return err == nil })
	if err != nil {
		t.Fatal(err)
	}
	s = r.mount(orchestrator.MountOptions{ReadOnly: true, Check: true})
	if _, err := storetest.PutFile(t.Context(), s, "f", source(t, data), 0, 300000); !errors.Is(err, unix.EROFS) {
		t.Errorf("put into a read-only mount: have %v", err)
	}
	var b bytes.Buffer
	if _, err := s.ReadBack(t.Context(), "f", &b, nil); err != nil || !bytes.Equal(b.Bytes(), data) {
		t.Errorf("read back of a read-only mount: %v, %d bytes", err, b.Len())
	}
}

// Mounts that cannot be say what it is, and leave nothing mounted.
func TestMountsThatFail(t *testing.T) {
	r := newRig(t, mounttest.Dir(t), orchestrator.MakeOptions{})
	none := t.TempDir()
	_, err := r.e.Mount(t.Context(), orchestrator.MountOptions{Parent: none, Point: r.point})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), none) {
		t.Errorf("no volume: have %v", err)
	}
	if len(*r.log) == 0 {
		t.Error("the program said nothing to the log")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.e.Mount(ctx, orchestrator.MountOptions{Parent: r.parent, Point: r.point}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: have %v", err)
	}
	for i := range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Millisecond)
		begin := time.Now()
		s, err := r.e.Mount(ctx, orchestrator.MountOptions{Parent: r.parent, Point: r.point})
		if time.Since(begin) > soon {
			t.Errorf("called off: took %v", time.Since(begin))
		}
		cancel()
		if s != nil {
			err = r.e.Unmount(t.Context(), r.point)
		} else if err == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("called off: have %v", err)
		} else if err = r.e.Unmount(t.Context(), r.point); errors.Is(err, fs.ErrNotExist) {
			err = nil
		} else {
			t.Errorf("called off, and it was mounted: %v", err)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := engine.New(engine.Options{Program: none + "/none"}).Mount(t.Context(), orchestrator.MountOptions{Parent: r.parent, Point: r.point}); err == nil {
		t.Error("without the program: no error")
	}
	if err := r.e.Make(t.Context(), orchestrator.MakeOptions{Parent: r.parent, Size: 1 << 20}); err == nil {
		t.Error("made over a volume: no error")
	}
}

// A process that is killed in the middle of a Put is an error of it, and everything that was put before is there after the next mount, which repairs.
func TestKilledInTheMiddle(t *testing.T) {
	r := newRig(t, mounttest.Loop(t, 256<<20), orchestrator.MakeOptions{BlockSize: 4096})
	const seg = 4 << 20
	want := pattern(2, 16*seg)
	src := source(t, want)
	done := int64(0)
	for round := range 4 {
		s := r.mount(orchestrator.MountOptions{})
		if round == 0 {
			empty(t, s, "f", int64(len(want)))
		}
		var b bytes.Buffer
		if _, err := s.ReadBack(t.Context(), "f", &b, nil); err != nil || int64(b.Len()) != int64(len(want)) || !bytes.Equal(b.Bytes()[:done], want[:done]) {
			t.Fatalf("round %d: after a kill, %d bytes put: %v, have %d bytes", round, done, err, b.Len())
		}
		pid := r.daemon()
		time.AfterFunc(time.Duration(30+round*25)*time.Millisecond, func() { _ = unix.Kill(pid, unix.SIGKILL) })
		for ; done < int64(len(want)); done += seg {
			if _, err := storetest.PutFile(t.Context(), s, "f", src, done, seg); err != nil {
				if !errors.Is(err, unix.ENOTCONN) {
					t.Errorf("round %d: have %v, want one that matches ENOTCONN", round, err)
				}
				break
			}
		}
		if done == int64(len(want)) {
			done = 0 // too fast: once more, over what is there
		}
		if err := mounted.WaitClosed(t.Context(), r.parent, time.Minute, func() {}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Usage(t.Context()); !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("of a dead one: have %v", err)
		}
		if err := unix.Unmount(r.point, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	r.mount(orchestrator.MountOptions{})
}

// A volume that gets full is told as ENOSPC.
func TestPutIntoAFullVolume(t *testing.T) {
	r := newRig(t, mounttest.Dir(t), orchestrator.MakeOptions{BlockSize: 4096, Size: 8 << 20})
	s := r.mount(orchestrator.MountOptions{})
	empty(t, s, "f", 16<<20)
	if _, err := storetest.PutFile(t.Context(), s, "f", source(t, pattern(3, 16<<20)), 0, 16<<20); !errors.Is(err, unix.ENOSPC) || !errors.Is(err, format.ErrNoSpace) {
		t.Errorf("have %v", err)
	}
}

// A process that does not answer ends calls: soon where they are called off, and by itself else.
func TestAProcessThatStands(t *testing.T) {
	r := newRig(t, mounttest.Dir(t), orchestrator.MakeOptions{BlockSize: 4096})
	s := r.mount(orchestrator.MountOptions{})
	empty(t, s, "f", 1<<20)
	src := source(t, pattern(4, 1<<20))
	pid := r.daemon()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(pid, syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := storetest.PutFile(ctx, s, "f", src, 0, 1<<20); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > soon {
		t.Errorf("called off: have %v after %v", err, time.Since(begin))
	}
	impatient := engine.New(engine.Options{Program: mounttest.Binary(t), Stall: 100 * time.Millisecond})
	begin = time.Now()
	if _, err := impatient.Open(t.Context(), r.point); err == nil || time.Since(begin) > soon {
		t.Errorf("nothing moves: have %v after %v", err, time.Since(begin))
	}
	if err := unix.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := storetest.PutFile(t.Context(), s, "f", src, 0, 1<<20); err != nil {
		t.Error(err)
	}
}

// holder starts a process whose working directory is dir.
func holder(t *testing.T, dir string) int {
	t.Helper()
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "600"}, &os.ProcAttr{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_, _ = p.Wait()
	})
	go func() { _, _ = p.Wait() }()
	return p.Pid
}

// An index outside of the volume is found where it was made, and where it was put since.
func TestIndexElsewhere(t *testing.T) {
	local := mounttest.Dir(t)
	first, second := filepath.Join(local, "index ü"), filepath.Join(local, "second")
	r := newRig(t, mounttest.Dir(t), orchestrator.MakeOptions{Index: first, Hash: "SHA1", BlockSize: 8192})
	s := r.mount(orchestrator.MountOptions{})
	empty(t, s, "f", 100000)
	if _, err := storetest.PutFile(t.Context(), s, "f", source(t, pattern(7, 100000)), 0, 100000); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.e.Unmount(t.Context(), r.point), os.Rename(first, second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.e.Mount(t.Context(), orchestrator.MountOptions{Parent: r.parent, Point: r.point}); err == nil {
		t.Error("mounted without its index")
	}
	s = r.mount(orchestrator.MountOptions{Index: second})
	var b bytes.Buffer
	if _, err := s.ReadBack(t.Context(), "f", &b, nil); err != nil || !bytes.Equal(b.Bytes(), pattern(7, 100000)) {
		t.Errorf("have %v, %d bytes", err, b.Len())
	}
	if u, err := s.Usage(t.Context()); err != nil || u.BlockSize != 8192 || u.Files != 1 {
		t.Errorf("have %+v, %v", u, err)
	}
	if err := errors.Join(r.e.Unmount(t.Context(), r.point), os.Rename(second, first)); err != nil {
		t.Fatal(err)
	}
}
