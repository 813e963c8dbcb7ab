package mkfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"tresor/index/blockfile"
	"tresor/index/disk"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indexfile"
	"tresor/index/mkfs"
)

const parent = "/tresor-mkfs-test"

func oldOptions(m *disktest.FS) mkfs.Options {
	return mkfs.Options{FS: m, Parent: parent, CreateOptions: format.CreateOptions{Hash: "TIGER", Size: 1 << 20, BlockSize: 4096}}
}

func newOptions(m *disktest.FS) mkfs.Options {
	return mkfs.Options{FS: m, Parent: parent, Force: true, CreateOptions: format.CreateOptions{Hash: "BLAKE3-256", Size: 1 << 19, BlockSize: 512, Overflow: 2}}
}

// oldFiles are what the old volume holds besides what mkfs made.
func oldFiles() map[string]string {
	return map[string]string{
		"/.autofsck": "", "/.autofsck.clean": "", "/ddfsusedblocks": "used", "/ddfsusedblocks.0": "used", "/ddfsroot/file": "DDUMBFSF", "/mine": "stays",
	}
}

// oldVolume is a disk with a volume that was in use, all of it durable.
func oldVolume(t testing.TB) *disktest.FS {
	t.Helper()
	m := disktest.New()
	m.MkdirAll(parent)
	if _, err := mkfs.Make(oldOptions(m)); err != nil {
		t.Fatal(err)
	}
	for name, text := range oldFiles() {
		put(t, m, parent+name, text)
	}
	if err := m.SyncFS("/"); err != nil {
		t.Fatal(err)
	}
	return m
}

func put(t testing.TB, m *disktest.FS, name, text string) {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(disk.WriteFull(f, []byte(text), 0), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func get(m disk.FS, name string) ([]byte, error) {
	f, err := m.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	return data, disk.ReadFull(f, data, 0)
}

// verdict says what a disk holds: "old", "none" or "new" are the outcomes that
// are allowed, anything else describes a volume that is neither.
func verdict(m disk.FS) string {
	if data, err := get(m, parent+"/mine"); err == nil && string(data) != "stays" {
		return fmt.Sprintf("foreign file changed: %q", data)
	}
	text, err := get(m, parent+"/ddfs.cfg")
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		return err.Error()
	}
	c, err := format.ParseConfig("ddfs.cfg", text)
	if err != nil {
		return err.Error()
	}
	if err := complete(m, c); err != nil {
		return err.Error()
	}
	if c.Hash == "TIGER" {
		for name, want := range oldFiles() {
			if data, err := get(m, parent+name); err != nil || string(data) != want {
				return fmt.Sprintf("old volume without its %s: %q, %v", name, data, err)
			}
		}
		return "old"
	}
	for _, dir := range []string{"", "/ddfsroot", "/ddfsroot/.ddumbfs"} {
		list, err := m.ReadDir(parent + dir)
		if err != nil {
			return err.Error()
		}
		for _, d := range list {
			known := []string{"ddfs.cfg", "ddfsblocks", "ddfsidx", "ddfsroot", "mine", ".ddumbfs", "stats", "stats0", "reclaim", "test"}
			if !slices.Contains(known, d.Name()) {
				return "new volume with an old " + dir + "/" + d.Name()
			}
		}
		if dir == "/ddfsroot/.ddumbfs" && len(list) != 4 {
			return "new volume without its special files"
		}
	}
	return "new"
}

// complete opens index and block file and wants the index to be empty.
func complete(m disk.FS, c *format.Config) error {
	g, err := c.Geometry()
	if err != nil {
		return err
	}
	b, err := blockfile.Open(m, parent+"/ddfsblocks", g, true)
	if err != nil {
		return err
	}
	if err := b.Close(); err != nil {
		return err
	}
	x, err := indexfile.Open(m, parent+"/ddfsidx", c, indexfile.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	if n := x.Bitmap().Count(); n != 2 {
		err = fmt.Errorf("index with %d used blocks", n)
	}
	slots := x.Table().Slots()
	for s := range slots {
		if a := x.Table().Addr(s); a != 0 {
			err = fmt.Errorf("index with address %d in slot %d", a, s)
		}
	}
	return errors.Join(err, x.Close())
}

func TestPowerCutAtEveryChange(t *testing.T) {
	m := oldVolume(t)
	if have := verdict(m); have != "old" {
		t.Fatalf("before: %s", have)
	}
	m.Record()
	if _, err := mkfs.Make(newOptions(m)); err != nil {
		t.Fatal(err)
	}
	m.CheckLeaks(t)
	changes := len(m.Ops())
	seen := map[string]int{}
	for _, how := range []disktest.Unsynced{disktest.Keep, disktest.Drop, disktest.Torn} {
		for k := range changes + 1 {
			for seed := range uint64(3) {
				have := verdict(m.Crash(k, how, seed))
				seen[have]++
				if have != "old" && have != "none" && have != "new" {
					t.Fatalf("after change %d of %d, the rest %s, seed %d: %s", k, changes, how, seed, have)
				}
			}
		}
		if have := verdict(m.Crash(changes, how, 1)); have != "new" {
			t.Errorf("after all, the rest %s: %s", how, have)
		}
	}
	if seen["old"] == 0 || seen["none"] == 0 || seen["new"] == 0 {
		t.Errorf("have seen %v, want all outcomes", seen)
	}
	// And it can be made again wherever it stopped.
	for k := range changes + 1 {
		n := m.Crash(k, disktest.Torn, 7)
		if _, err := mkfs.Make(newOptions(n)); err != nil {
			t.Fatalf("made again after a power cut at change %d: %v", k, err)
		}
		if have := verdict(n); have != "new" {
			t.Fatalf("made again after a power cut at change %d: %s", k, have)
		}
	}
}

func TestEveryCallFailsOnce(t *testing.T) {
	count := oldVolume(t)
	count.ResetCalls()
	if _, err := mkfs.Make(newOptions(count)); err != nil {
		t.Fatal(err)
	}
	calls := count.Calls()
	cases := 0
	for _, call := range count.SortedCalls() {
		for n := range calls[call] {
			m := oldVolume(t)
			m.Inject(disktest.Fault{Call: call, N: n})
			_, err := mkfs.Make(newOptions(m))
			if m.Fired() != 1 {
				t.Fatalf("%v, call %d: the fault fired %d times", call, n, m.Fired())
			}
			m.Heal()
			cases++
			have := verdict(m)
			if have != "old" && have != "none" && have != "new" {
				t.Errorf("%v, call %d failed (%v): %s", call, n, err, have)
			}
			if err == nil && have != "new" {
				t.Errorf("%v, call %d failed without an error: %s", call, n, have)
			}
			m.CheckLeaks(t)
		}
	}
	t.Logf("%d cases", cases)
}

func TestNoRoom(t *testing.T) {
	m := oldVolume(t)
	m.SetCapacity(256 << 10)
	before, err := get(m, parent+"/ddfsidx")
	if err != nil {
		t.Fatal(err)
	}
	o := newOptions(m)
	o.Size = 1 << 26
	if _, err := mkfs.Make(o); !errors.Is(err, format.ErrNoSpace) || !strings.Contains(err.Error(), "there is room for") {
		t.Errorf("have %v, want ErrNoSpace", err)
	}
	after, err := get(m, parent+"/ddfsidx")
	if err != nil || !bytes.Equal(before, after) || verdict(m) != "old" {
		t.Errorf("the old volume was touched: %s, %v", verdict(m), err)
	}
	m.CheckLeaks(t)
}

// A size taken from the file system leaves room for the index.
func TestSizeFromFreeRoom(t *testing.T) {
	m := disktest.New()
	m.MkdirAll(parent)
	m.SetCapacity(1 << 28)
	r, err := mkfs.Make(mkfs.Options{FS: m, Parent: parent})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Config
	if total := c.PartitionSize + c.IndexSize; r.SizeFrom != mkfs.SizeFree || total > 1<<28 || total < 1<<28-1<<20 || c.PartitionSize%131072 != 0 {
		t.Errorf("have %+v, %+v", r, c)
	}
	// Making it again finds the same room, though the files of the first take some.
	again, err := mkfs.Make(mkfs.Options{FS: m, Parent: parent, Force: true})
	if err != nil || again.Config.PartitionSize != c.PartitionSize {
		t.Errorf("again: have %+v, %v; want size %d", again, err, c.PartitionSize)
	}
}
