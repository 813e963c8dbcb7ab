package pauses_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// TestColdReadsKeepNobodyWaiting measures small writes before and while a large file is read that no cache holds. What a cached handle reads comes past the page
// cache of the block file, and the file system below has who writes there wait for such reads (docs/decisions/0012-content-is-kept-once.md). Nobody calls
// fsync meanwhile: it waits for a disk that is busy with reading, and writers wait for it, whichever way is read.
func TestColdReadsKeepNobodyWaiting(t *testing.T) {
	size, quietly, long := 128<<20, 500*time.Millisecond, os.Getenv("TRESOR_LONG") == "1"
	if long {
		size, quietly = 6<<30, 5*time.Second
	}
	dir := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: 128 << 10, Size: int64(size) + 1<<30}})
	v := &volume{t: t, m: mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: "reclaim=0,nolock_index"}), noSync: true}
	v.store("large", size)
	dropCaches(t)
	quiet, during, took := v.measure(quietly, func() {
		f, err := os.Open(v.m.Path("large"))
		must(t, err)
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
		must(t, errors.Join(err, f.Close()))
	})
	t.Logf("%d MiB read cold in %v: %.0f MB/s", size>>20, took, float64(size)/1e6/took.Seconds())
	for _, kind := range []string{"write", "read"} {
		t.Logf("%-5s without %v", kind, quiet[kind])
		t.Logf("%-5s during  %v", kind, during[kind])
	}
	if worst := during["write"].worst(); worst > 20*time.Second {
		t.Errorf("a write of 4 KiB waited for %v", worst)
	}
	if long {
		assertWrites(t, quiet, during)
	}
}

// store makes a file of new data, on the disk.
func (v *volume) store(name string, size int) {
	v.t.Helper()
	f, err := os.Create(v.m.Path(name))
	must(v.t, err)
	rnd, p := rand.New(rand.NewPCG(5, 6)), make([]byte, 1<<20)
	for done := 0; done < size; done += len(p) {
		fillRandom(rnd, p)
		_, err := f.Write(p)
		must(v.t, err)
	}
	must(v.t, errors.Join(f.Sync(), f.Close()))
}

func dropCaches(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		t.Log("caches are warm: ", err)
	}
}
