package openfile_test

import (
	"testing"

	"tresor/index/disk/disktest"
)

// TestPagesOfMappings: the kernel sends whole pages of a memory mapping, here one of which the user changed one byte. What was synced beside
// it survives a power cut.
func TestPagesOfMappings(t *testing.T) {
	r := newMemory(t, tiny(), 2)
	h := r.file("f")
	old := pattern(1, 8192)
	r.write(h, old, 0)
	if err := h.Sync(false); err != nil {
		t.Fatal(err)
	}
	if err := r.disk.SyncFS(memoryDir); err != nil {
		t.Fatal(err)
	}
	r.disk.Record()
	page := append([]byte(nil), old[:4096]...)
	page[7] ^= 1
	if _, err := h.WritePages(page, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.m.FlushAll(); err != nil {
		t.Fatal(err)
	}
	h.Close()
	r.abandon()
	bad := 0
	for seed := range uint64(40) {
		img := onDisk(t, r.disk.Crash(len(r.disk.Ops()), disktest.Torn, seed), 2)
		img.repair()
		g := img.file("f")
		p := make([]byte, 4096)
		if _, err := g.ReadAt(p, 0); err != nil {
			bad++
			if bad == 1 {
				t.Errorf("seed %d: 4095 synced bytes nobody wrote are gone: %v", seed, err)
			}
		}
		g.Close()
		img.abandon()
	}
	t.Logf("%d of 40", bad)
}
