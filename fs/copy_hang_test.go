package fs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fuse"

	"tresor/fs/control"
	"tresor/fs/socket"
)

// hangingFS answers what is asked about its one file, and reads of it never: those from offset good on. Before that it has zeros.
type hangingFS struct {
	fusefs.RawFileSystem
	good    uint64
	free    chan struct{}
	reading chan struct{}
}

func (h *hangingFS) attr(id uint64, a *fusefs.Attr) {
	a.Ino, a.Mode, a.Nlink = id, fusefs.S_IFDIR|0o755, 1
	if id == 2 {
		a.Mode, a.Size = fusefs.S_IFREG|0o644, 64<<20
	}
}

func (h *hangingFS) Lookup(_ <-chan struct{}, _ *fusefs.InHeader, _ string, out *fusefs.EntryOut) fusefs.Status {
	out.NodeId = 2
	h.attr(2, &out.Attr)
	return fusefs.OK
}

func (h *hangingFS) GetAttr(_ <-chan struct{}, in *fusefs.GetAttrIn, out *fusefs.AttrOut) fusefs.Status {
	h.attr(in.NodeId, &out.Attr)
	return fusefs.OK
}

func (h *hangingFS) Open(<-chan struct{}, *fusefs.OpenIn, *fusefs.OpenOut) fusefs.Status {
	return fusefs.OK
}

func (h *hangingFS) Read(_ <-chan struct{}, in *fusefs.ReadIn, buf []byte) (fusefs.ReadResult, fusefs.Status) {
	if in.Offset+uint64(len(buf)) <= h.good {
		clear(buf)
		return fusefs.ReadResultData(buf), fusefs.OK
	}
	select {
	case h.reading <- struct{}{}:
	default:
	}
	<-h.free
	return fusefs.ReadResultData(buf), fusefs.OK
}

// hanging mounts a hangingFS; release has it answer everything.
func hanging(t *testing.T, good uint64) (h *hangingFS, name string, release func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts")
	}
	mnt := t.TempDir()
	h = &hangingFS{RawFileSystem: fusefs.NewDefaultRawFileSystem(), good: good, free: make(chan struct{}), reading: make(chan struct{}, 1)}
	server, err := fusefs.NewServer(h, mnt, &fusefs.MountOptions{FsName: "hanging", Name: "hanging", DirectMount: true})
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { close(h.free) })
	t.Cleanup(func() {
		release()
		for range 50 { // the descriptor that the copy had is closed on its own time
			if err = server.Unmount(); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error(err)
	})
	return h, filepath.Join(mnt, "file"), release
}

// sourceEnv names the source for TestServeBesideASourceThatHangs in a process of its own.
const sourceEnv = "TRESOR_TEST_HANGING_SOURCE"

// A source that begins to hang in the middle, where its content is known and is hashed where the kernel has it, does not hold a processor of the
// runtime: a process that waits for a page is not in a call, and everything in it would stop with the next collection of garbage.
func TestAPageOfTheSourceThatNeverComes(t *testing.T) {
	if os.Getenv(sourceEnv) != "" {
		t.Skip("this is the other process")
	}
	h, name, release := hanging(t, 4<<20)
	c := exec.Command(os.Args[0], "-test.run=^TestServeBesideASourceThatHangs$", "-test.v")
	c.Env = append(os.Environ(), sourceEnv+"="+name, "GOMAXPROCS=2")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(closeTime+time.Minute, func() { // it may well need its time for closing the volume
		t.Error("the process that serves the volume has stopped")
		release()
	})
	defer timer.Stop()
	if err := c.Wait(); err != nil || !bytes.Contains(out.Bytes(), []byte("--- PASS")) {
		t.Errorf("%v: %s", err, out.Bytes())
	}
	select {
	case <-h.reading:
	default:
		t.Error("nothing was read where it hangs")
	}
}

// TestServeBesideASourceThatHangs is the other process of TestAPageOfTheSourceThatNeverComes.
func TestServeBesideASourceThatHangs(t *testing.T) {
	name := os.Getenv(sourceEnv)
	if name == "" {
		t.Skip("a part of another test")
	}
	r := newRig(t)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	done := make(chan error, 1)
	go func() { _, err := r.in(t.Context(), "f", f); done <- err }()
	for i := range 20 {
		time.Sleep(100 * time.Millisecond)
		runtime.GC()
		if err := os.WriteFile(r.path("other"), random(uint64(i), 1<<20), 0o600); err != nil {
			t.Error(err)
		}
	}
	r.unmount()
	if err := <-done; err == nil {
		t.Error("no error")
	}
}

// A source on another file system that hangs does not keep the volume from being used and unmounted.
func TestUnmountWithASourceThatHangs(t *testing.T) {
	r := newRig(t)
	h, name, release := hanging(t, 0)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	defer f.Close()
	done := make(chan error, 1)
	go func() { _, err := r.in(t.Context(), "f", f); done <- err }()
	<-h.reading
	if err := os.WriteFile(r.path("other"), random(8, 3<<20), 0o600); err != nil {
		t.Error(err)
	}
	if err := socket.Call(t.Context(), socket.Place{}, r.dir, control.OpReclaim, nil, nil, nil); err != nil {
		t.Errorf("a reclaim meanwhile: %v", err)
	}
	r.unmount()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	release()
	r.mount() // and the worker that comes back now touches nothing
	r.assertContent("other", random(8, 3<<20))
}
