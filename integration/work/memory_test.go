package work

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tresor/index/format"
	"tresor/integration/mounttest"
)

// most is what a daemon may have in memory beside its index (engine page, section 4).
const most = 128 * mib

// TestMemory has a daemon do everything that fills buffers, and looks at the most memory that it had: four writers, reads past the kernel's cache and past the page cache, and small
// writes to more places than its block buffers have room for.
func TestMemory(t *testing.T) {
	dir := mounttest.New(t, mounttest.VolumeOptions{Dir: filepath.Join(mounttest.Loop(t, 6<<30), "volume"), CreateOptions: format.CreateOptions{Size: 4 << 30}})
	t.Setenv("GOGC", "")
	m := mounttest.Volume(t, mounttest.Options{Parent: dir, Daemon: true, List: options + ",pool=2"}) // each worker has buffers of its own
	const files = 4
	name := func(i int) string { return m.Path(fmt.Sprint("f", i)) }
	var data [files][]byte
	for i := range data {
		data[i] = aligned(t, fileSize)
		copy(data[i], random(byte(60+i), fileSize))
	}
	each := func(do func(i int, p []byte)) {
		var g sync.WaitGroup
		for i, p := range data {
			g.Go(func() { do(i, p) })
		}
		g.Wait()
	}
	each(func(i int, p []byte) { store(t, name(i), p, true) })
	each(func(i int, p []byte) { load(t, name(i), p) })
	cool(t, dir)
	each(func(i int, p []byte) { loadCached(t, name(i), p[:request]) })
	each(func(i int, p []byte) {
		f, err := os.OpenFile(name(i), os.O_WRONLY, 0)
		must(t, err)
		places := rand.New(rand.NewPCG(1, uint64(i))).Perm(fileSize / 4096) // as good as any order
		for _, at := range places[:len(places)/4] {
			_, err := f.WriteAt(p[:4096], int64(at)*4096)
			must(t, err)
		}
		must(t, f.Sync())
		must(t, f.Close())
	})
	info, err := os.Stat(filepath.Join(dir, format.DefaultIndexName))
	must(t, err)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.PID))
	must(t, err)
	peak := int64(0)
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &peak) // the other lines do not match
	}
	beside := peak<<10 - info.Size()
	t.Logf("peak %d MiB, beside the index %d MiB", peak>>10, beside/mib)
	if peak == 0 || beside > most {
		t.Errorf("beside the index: have %d MiB, want %d MiB at most", beside/mib, most/mib)
	}
}
