package fs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tresor/fs/control"
	"tresor/fs/socket"
	"tresor/index/format"
)

// assertMixture reads the blocks of a file: each is the old one or the new one.
func (r *rig) assertMixture(path string, old, fresh []byte) {
	r.t.Helper()
	have, err := os.ReadFile(r.path(path))
	if err != nil || len(have) != len(old) {
		r.t.Fatalf("%s: have %d bytes, %v, want %d", path, len(have), err, len(old))
	}
	for i := 0; i < len(have); i += 4096 {
		b := have[i:min(i+4096, len(have))]
		if !bytes.Equal(b, old[i:i+len(b)]) && !bytes.Equal(b, fresh[i:i+len(b)]) {
			r.t.Fatalf("%s: block %d is neither the old one nor the new one", path, i/4096)
		}
	}
}

// A volume that gets full ends the range with an error of its own class. What is there is sound, and the range can be stored once there is room.
func TestIngestRangeIntoAFullVolume(t *testing.T) {
	r := newRig(t)
	old := random(1, 80<<20)
	copy(old[1<<20:], make([]byte, 79<<20))
	r.mustPut("f", old)
	fresh := random(2, 80<<20)
	src := outside(t, fresh)
	w, err := r.put(t.Context(), "f", src, 0, int64(len(fresh)))
	if !errors.Is(err, format.ErrNoSpace) {
		t.Fatalf("have %+v, %v", w, err)
	}
	r.assertMixture("f", old, fresh)
	if err := os.Truncate(r.path("f"), 0); err != nil {
		t.Fatal(err)
	}
	for {
		err := socket.Call(t.Context(), socket.Place{}, r.dir, control.OpReclaim, nil, nil, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, format.ErrBusy) { // the mount may have begun one by itself, which saw the old file
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := r.put(t.Context(), "f", src, 8<<20, 40<<20); err != nil {
		t.Fatal(err)
	}
	clear(fresh[:8<<20])
	r.assertContent("f", fresh[:48<<20])
}

// Memory that is changed while it is stored, as no honest client does: what is stored is proved all the same, known content or new, and the process lives.
func TestIngestRangeOfMemoryThatChanges(t *testing.T) {
	r := newRig(t)
	const n = 4 << 20
	old, fresh := random(3, n), random(4, n)
	r.mustPut("known", old)
	mem := sealed(t, old)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := mem.WriteAt([][]byte{fresh, old}[i%2], 0); err != nil {
				done <- err
				return
			}
		}
	}()
	if err := os.WriteFile(r.path("f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &control.IngestRangeArgs{Parts: []control.PartArgs{{Path: "f", Length: n}}}
	for range 10 {
		if err := socket.CallWith(t.Context(), socket.Place{}, r.dir, control.OpIngestRange, mem, a, nil, nil); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, have, err := r.back(t.Context(), control.ReadBackArgs{Path: "f", Whole: true}, true)
	if err != nil || len(have) != n {
		t.Fatalf("have %d bytes, %v", len(have), err)
	}
	for i, x := range have {
		if x != old[i] && x != fresh[i] {
			t.Fatalf("byte %d was never there", i)
		}
	}
}

// Who goes away in the middle leaves a file whose blocks are old or new. The volume goes on, also where nobody reads the pipe, and the unmount
// does not wait.
func TestRangesEndWithTheirClient(t *testing.T) {
	r := newRig(t)
	old, fresh := random(4, 24<<20), random(5, 24<<20)
	r.mustPut("f", old)
	src := outside(t, fresh)
	ended := 0
	for i := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Millisecond)
		if _, err := r.put(ctx, "f", src, 0, 24<<20); errors.Is(err, context.DeadlineExceeded) {
			ended++
		} else if err != nil {
			t.Error(err)
		}
		cancel()
	}
	if ended == 0 {
		t.Error("none was called off")
	}
	r.assertMixture("f", old, fresh)
	rd, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	defer wr.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	var res control.ReadBackResult
	err = socket.CallWith(ctx, socket.Place{}, r.dir, control.OpReadBack, wr, &control.ReadBackArgs{Path: "f", Whole: true}, &res, nil)
	if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
		t.Errorf("a pipe that nobody reads: have %v after %v", err, took)
	}
	r.unmount()
}

// A file of a file system that hangs is refused without being touched.
func TestIngestRangeOfAFileThatHangs(t *testing.T) {
	r := newRig(t)
	_, name, release := hanging(t, 0)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	defer f.Close()
	if err := os.WriteFile(r.path("f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	a := &control.IngestRangeArgs{Parts: []control.PartArgs{{Path: "f", Length: 4096}}}
	err = socket.CallWith(t.Context(), socket.Place{}, r.dir, control.OpIngestRange, f, a, nil, nil)
	if !errors.Is(err, format.ErrUnsupported) || time.Since(begin) > 10*time.Second {
		t.Errorf("have %v after %v", err, time.Since(begin))
	}
	r.unmount()
}

// Ranges, writes through the kernel, readers, read-backs and reclaims at the same time lose nothing.
func TestRangesBesideEverythingElse(t *testing.T) {
	r := newRig(t)
	const seg, segs = 256 << 10, 12
	var all sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		path := fmt.Sprintf("f%d", i)
		if err := errors.Join(os.WriteFile(r.path(path), nil, 0o600), os.Truncate(r.path(path), segs*seg)); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			data := random(uint64(i), segs*seg)
			src := outside(t, data)
			for s := range segs {
				if _, err := r.put(t.Context(), path, src, int64(s*seg), seg); err != nil {
					t.Error(err)
					return
				}
				have := make([]byte, seg)
				f, err := os.Open(r.path(path))
				if err == nil {
					_, err = f.ReadAt(have, int64(s*seg))
					f.Close()
				}
				if err != nil || !bytes.Equal(have, data[s*seg:(s+1)*seg]) {
					t.Errorf("%s, segment %d: %v, equal %v", path, s, err, bytes.Equal(have, data[s*seg:(s+1)*seg]))
				}
			}
			if _, have, err := r.back(t.Context(), control.ReadBackArgs{Path: control.Path(path), Whole: true}, true); err != nil || !bytes.Equal(have, data) {
				t.Errorf("%s read back: %v, equal %v", path, err, bytes.Equal(have, data))
			}
		})
	}
	others := sync.WaitGroup{}
	others.Go(func() {
		for n := uint64(100); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := os.WriteFile(r.path("noise"), random(n%3, 1<<20), 0o600); err != nil {
				t.Error(err)
			}
			if err := socket.Call(t.Context(), socket.Place{}, r.dir, control.OpReclaim, nil, nil, nil); err != nil {
				t.Errorf("reclaim: %v", err)
			}
		}
	})
	all.Wait()
	close(stop)
	others.Wait()
}

// What a program has changed through a mapping before, and the kernel has not handed over yet, does not come over a range that was stored after it.
func TestIngestRangeAfterAMapping(t *testing.T) {
	r := newRig(t)
	r.mustPut("f", random(1, 8*4096))
	// A page fault would stop this process, which serves the mount, so the mapping is another's.
	if out, err := python(t, `
import mmap,os,sys
f=open(sys.argv[1],"r+b")
m=mmap.mmap(f.fileno(),0)
m[5000:5003]=b"old"
print("ready",flush=True)
sys.stdin.readline()
os._exit(0)`, r.path("f"), func() {
		if _, err := r.put(t.Context(), "f", outside(t, random(2, 8*4096)), 0, 8*4096); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.assertContent("f", random(2, 8*4096))
	var st unix.Stat_t
	if err := unix.Stat(r.path("f"), &st); err != nil || time.Since(time.Unix(st.Mtim.Unix())) > time.Minute {
		t.Errorf("time of modification: have %v, %v", st.Mtim, err)
	}
}

// python runs a program that says "ready", does meanwhile, and lets the program go on.
func python(t *testing.T, program, arg string, meanwhile func()) (string, error) {
	t.Helper()
	name, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	var msg bytes.Buffer
	c := exec.Command(name, "-c", program, arg)
	c.Stderr = &msg
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		meanwhile()
	}
	_, werr := in.Write([]byte("\n"))
	err = errors.Join(err, werr, c.Wait())
	return line + msg.String(), err
}
