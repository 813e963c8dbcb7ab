package openfile_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
)

// cloneSource is a file of 40 blocks with a hole, on disk.
func cloneSource(t *testing.T, r *memory) []byte {
	t.Helper()
	data := make([]byte, 40*4096+100)
	for i := range data {
		if b := i / 4096; b < 20 || b > 25 {
			data[i] = byte(i/4096 + i%251 + 1)
		}
	}
	h := r.file("src")
	if _, err := h.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Sync(false); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.disk.SyncFS(memoryDir); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCloneKilled kills the process after every change of the disk that a clone makes. What is there afterwards is a beginning of the
// source: short, but without a byte that the source does not have there.
func TestCloneKilled(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	data := cloneSource(t, r)
	r.disk.Record()
	src, dst := r.file("src"), r.file("dst")
	if n, err := dst.File().CopyFrom(src.File(), 0, 0, int64(len(data))); err != nil || n != int64(len(data)) {
		t.Fatalf("clone: %d, %v", n, err)
	}
	ops := len(r.disk.Ops())
	for k := range ops + 1 {
		img := onDisk(t, r.disk.Crash(k, disktest.Keep, 1), 2)
		img.repair()
		h := img.file("dst")
		have := make([]byte, len(data)+4096)
		n, err := h.ReadAt(have, 0)
		if err != nil || n > len(data) || !bytes.Equal(have[:n], data[:n]) {
			t.Errorf("killed after %d of %d changes: %d bytes of %d, %v; or a byte that the source does not have", k, ops, n, len(data), err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		img.close()
	}
}

// TestCloneFails lets each write of a clone fail for want of room. The target keeps its size and content, and the volume stays sound.
func TestCloneFails(t *testing.T) {
	for n := range 6 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newMemory(t, tiny(), 0)
			data := cloneSource(t, r)
			src, dst := r.file("src"), r.file("dst")
			if _, err := dst.WriteAt([]byte("old"), 0); err != nil {
				t.Fatal(err)
			}
			if err := dst.Sync(false); err != nil {
				t.Fatal(err)
			}
			r.disk.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Write}, N: n, Partial: 30, Err: unix.ENOSPC})
			_, err := dst.File().CopyFrom(src.File(), 4096, 4096, int64(len(data))-4096)
			fired := r.disk.Fired()
			r.disk.Heal()
			have := make([]byte, len(data)+4096)
			got, rerr := dst.ReadAt(have, 0)
			switch {
			case rerr != nil:
				t.Errorf("read after the clone: %v", rerr)
			case err == nil && (got != len(data) || !bytes.Equal(have[4096:got], data[4096:])):
				t.Errorf("clone without an error (%d faults): %d bytes, or wrong ones", fired, got)
			case err != nil && string(have[:got]) != "old":
				t.Errorf("clone failed (%v): want the old content, have %d bytes", err, got)
			}
			for _, h := range []interface{ Close() error }{src, dst} {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}
			r.close()
			if s, found := r.status(); s != 0 {
				t.Errorf("status %d: %v", s, found)
			}
		})
	}
}
