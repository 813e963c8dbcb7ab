package node_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/fs/node"
)

// TestHammer changes a small tree from many sides at once, with hardly any idle
// descriptors, and then compares what the mount shows with what lies below.
func TestHammer(t *testing.T) {
	m := newMount(t, func(c *node.Config) { c.MaxOpen = 3 })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dirs := []string{"", "a", "b", "a/c"}
	for _, d := range dirs[1:] {
		check(t, os.Mkdir(m.path(d), 0o755))
	}
	deadline := time.Now().Add(time.Second)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			name := func() string { return m.path(filepath.Join(dirs[r.IntN(len(dirs))], fmt.Sprint("n", r.IntN(6)))) }
			for time.Now().Before(deadline) {
				hammer(r, name(), name()) // errors are expected: others remove what it works on
			}
		})
	}
	wg.Wait()
	if have, want := listing(t, m.mnt), listing(t, m.root); have != want {
		t.Errorf("seed %d: the mount shows\n%s\nbelow lies\n%s", seed, have, want)
	}
	dropCaches(t)
	if have, want := listing(t, m.mnt), listing(t, m.root); have != want {
		t.Errorf("seed %d: with cold caches the mount shows\n%s\nbelow lies\n%s", seed, have, want)
	}
}

func hammer(r *rand.Rand, p, q string) {
	switch r.IntN(10) {
	case 0:
		os.Mkdir(p, 0o755)
	case 1:
		os.WriteFile(p, []byte(q), 0o644)
	case 2, 3:
		os.Remove(p)
	case 4, 5:
		os.Rename(p, q)
	case 6:
		os.Link(p, q)
	case 7:
		os.Symlink(q, p)
	case 8:
		os.ReadDir(filepath.Dir(p))
	case 9:
		if f, err := os.OpenFile(p, os.O_RDWR, 0); err == nil {
			f.WriteAt([]byte(q), int64(r.IntN(100)))
			os.Remove(q)
			f.Chmod(0o600)
			f.Close()
		}
	}
}

// listing describes every object of a tree but its logical size.
func listing(t *testing.T, root string) string {
	t.Helper()
	var lines []string
	check(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == ".ddumbfs" {
			return fs.SkipDir
		}
		st := stat(t, p)
		to, _ := os.Readlink(p)
		to = filepath.Base(to)
		lines = append(lines, fmt.Sprintf("%s inode %d links %d mode %o %s", strings.TrimPrefix(p, root), st.Ino, st.Nlink, st.Mode, to))
		return nil
	}))
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
