package pauses_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// TestColdReadsKeepNobodyWaiting measures small writes, without and with an fsync each 20 ms, before and while data are read that no cache holds: by a cached
// handle, which goes past the page cache of the block file, and the file system below has who writes there wait for such reads
// (docs/decisions/0012-content-is-kept-once.md); and by two controls that have to the disk the same to say and nothing to that lock. An fsync waits for a disk
// that is busy with reading, and writers wait for the fsync, whichever way is read: what the controls have too is not the price of direct reads.
func TestColdReadsKeepNobodyWaiting(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(v *volume, size int)
	}{
		{"cached handle", func(v *volume, _ int) { v.readAll(os.O_RDONLY) }},
		{"direct handle", func(v *volume, _ int) { v.readAll(os.O_RDWR) }}, // one that can write is past the page cache of the mount, and through that of the block file
		{"block file by dd", (*volume).readBelow},
	} {
		for _, sync := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s with fsync %v", c.name, sync), func(t *testing.T) { coldReads(t, c.name == "cached handle", sync, c.read) })
		}
	}
}

// coldReads measures one way of reading. bound: in the long form writers may not wait for long where nobody calls fsync.
func coldReads(t *testing.T, bound, sync bool, read func(v *volume, size int)) {
	size, quietly, long := 64<<20, 300*time.Millisecond, os.Getenv("TRESOR_LONG") == "1"
	if long {
		size, quietly = 6<<30, 5*time.Second
	}
	v := &volume{t: t, noSync: !sync}
	v.parent = mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Hash: "BLAKE3", BlockSize: 128 << 10, Size: int64(size) + 4<<30}})
	v.m = mounttest.Volume(t, mounttest.Options{Parent: v.parent, Daemon: true, List: "reclaim=0,nolock_index"})
	v.store("large", size)
	dropCaches(t)
	quiet, during, took := v.measure(quietly, func() { read(v, size) })
	t.Logf("%d MiB read cold in %v: %.0f MB/s", size>>20, took, float64(size)/1e6/took.Seconds())
	for _, kind := range []string{"write", "read", "fsync"} {
		if len(quiet[kind]) > 0 {
			t.Logf("%-5s without %v", kind, quiet[kind])
			t.Logf("%-5s during  %v", kind, during[kind])
		}
	}
	if worst := during["write"].worst(); worst > 20*time.Second {
		t.Errorf("a write of 4 KiB waited for %v", worst)
	}
	if long && bound && !sync {
		assertWrites(t, quiet, during)
	}
}

// readAll reads the file "large" through the mount.
func (v *volume) readAll(flag int) {
	v.t.Helper()
	f, err := os.OpenFile(v.m.Path("large"), flag, 0)
	must(v.t, err)
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	must(v.t, errors.Join(err, f.Close()))
}

// readBelow has another process read as much of the block file through its page cache, without the volume. There are the blocks of "large", which are
// its first ones.
func (v *volume) readBelow(size int) {
	v.t.Helper()
	out, err := exec.Command("dd", "if="+filepath.Join(v.parent, format.DefaultBlocksName), "of=/dev/null", "bs=1M", "count="+strconv.Itoa(size>>20)).CombinedOutput()
	if err != nil {
		v.t.Errorf("dd: %v: %s", err, out)
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
