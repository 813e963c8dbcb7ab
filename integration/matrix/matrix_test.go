package matrix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tresor/index/format"
	"tresor/integration/goldenvol"
	"tresor/integration/mounttest"
)

func TestMain(m *testing.M) { mounttest.Main(m) }

// operation is one part of the suite: it works in a directory of its own. What it leaves there must be the same after a remount.
type operation struct {
	name string
	run  func(t *testing.T, dir string)
}

func suite() []operation {
	return []operation{
		{"create", create}, {"pieces", pieces}, {"append", appendTo}, {"truncate", truncate}, {"sparse", sparse},
		{"beyond 4 GiB", beyond4G}, {"fallocate", fallocate}, {"seek", seek}, {"direct", direct}, {"synchronous", synchronous},
		{"mmap write", mmapWrite}, {"mmap read", mmapRead}, {"mmap and truncate", mmapTruncate}, {"two kinds of handles", twoKinds},
		{"rename over", renameOver}, {"rename flags", renameFlags}, {"hard links", hardLinks}, {"symlinks", symlinks},
		{"unlinked", unlinked}, {"special", special}, {"xattr", xattr}, {"ACL", acl}, {"times", times}, {"locks", locks},
		{"large directory", func(t *testing.T, dir string) { largeDirectory(t, dir, 600) }},
		{"out of order", func(t *testing.T, dir string) { outOfOrder(t, dir, 1<<20, 16, 16) }},
		{"out of order, small", func(t *testing.T, dir string) { outOfOrder(t, dir, 64<<10, 16, 16) }},
	}
}

func runSuite(t *testing.T, root string) {
	t.Helper()
	for _, op := range suite() {
		t.Run(op.name, func(t *testing.T) {
			dir := filepath.Join(root, op.name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			op.run(t, dir)
		})
	}
}

func TestPlainDirectory(t *testing.T) { runSuite(t, t.TempDir()) }

func TestMatrix(t *testing.T) {
	for _, c := range []struct {
		block               int
		hash, verify, where string
		pool                int
	}{
		{512, "BLAKE3", "first", "auto", -100},
		{4 << 10, "TIGER", "first", "auto", -100},
		{4 << 10, "BLAKE3", "always", "always", 0},
		{16 << 10, "SHA1", "off", "never", 2},
		{64 << 10, "TIGER128", "first", "always", 4},
		{128 << 10, "BLAKE3", "first", "auto", -100},
		{128 << 10, "BLAKE3-256", "always", "never", 1},
		{128 << 10, "TIGER160", "off", "auto", -300},
		{512 << 10, "SHA1", "first", "never", 0},
		{2 << 20, "BLAKE3", "always", "always", -100},
	} {
		name := fmt.Sprintf("%d-%s-verify=%s-pool=%d-direct=%s", c.block, c.hash, c.verify, c.pool, c.where)
		t.Run(name, func(t *testing.T) {
			parent := mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{
				Size: max(512<<20, int64(c.block)*1500), BlockSize: c.block, Hash: c.hash}})
			list := fmt.Sprintf("verify=%s,pool=%d,direct=%s", c.verify, c.pool, c.where)
			m := mounttest.Volume(t, mounttest.Options{Parent: parent, Daemon: true, List: list})
			runSuite(t, m.Point)
			before, err := goldenvol.ReadTree(m.Point)
			if err != nil {
				t.Fatal(err)
			}
			m = m.Remount(list)
			after, err := goldenvol.ReadTree(m.Point)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range goldenvol.Diff(after, before, nil) {
				t.Errorf("after a remount: %s", line)
			}
		})
	}
}

// A directory of 20 000 entries.
func TestLargeDirectory(t *testing.T) {
	m := mounttest.Volume(t, mounttest.Options{Parent: mounttest.New(t, mounttest.VolumeOptions{}), Daemon: true})
	largeDirectory(t, m.Path(), 20_000)
}

// Eight writers of one file against one, as a figure.
func TestEightWriters(t *testing.T) {
	m := mounttest.Volume(t, mounttest.Options{Daemon: true,
		Parent: mounttest.New(t, mounttest.VolumeOptions{CreateOptions: format.CreateOptions{Size: 2 << 30}})})
	for _, size := range []int{1 << 20, 64 << 10} {
		outOfOrder(t, m.Path(), size, (128<<20)/size, 16)
	}
}
