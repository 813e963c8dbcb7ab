package migrate_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
	"tresor/index/migrate"
)

// TestOneFileForBoth: two volumes that name one block file, or one index, never come as far as a migration: the second one is refused as busy. Where
// files cannot be locked the migration refuses them, since it would empty what it is to carry over.
func TestOneFileForBoth(t *testing.T) {
	for _, what := range []string{"block file", "index", "block file, as a link", "index, as a link"} {
		m := disktest.New()
		src, dst := apart(t, m, "/s", "/sb", 200), apart(t, m, "/d", "/db", 200)
		src.Store(map[string][]byte{"a": random(1, 10*block)})
		from, to := src.BlocksPath, dst.BlocksPath
		if strings.HasPrefix(what, "index") {
			from, to = src.IndexPath, dst.IndexPath
		}
		if strings.HasSuffix(what, "link") {
			if err := errors.Join(m.Remove(to), m.Link(from, to)); err != nil {
				t.Fatal(err)
			}
		} else {
			configure(t, dst, func(c *format.Config) {
				if c.BlockFilename = from; strings.HasPrefix(what, "index") {
					c.BlockFilename, c.IndexFilename = dst.BlocksPath, from
				}
			})
		}
		m.Record()
		if _, err := run(m, "/s", "/d", migrate.Options{Move: true}); !errors.Is(err, format.ErrBusy) || !strings.Contains(err.Error(), "open volume /d") {
			t.Errorf("%s: have %v, want the second volume busy", what, err)
		}
		for _, n := range []int{1, 2, 4, 5} { // not those of the directories
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Lock}, N: n, Err: unix.ENOSYS})
		}
		_, err := run(m, "/s", "/d", migrate.Options{Move: true})
		if !errors.Is(err, syscall.EINVAL) || m.Fired() != 4 {
			t.Errorf("%s, no locks (%d): have %v, want EINVAL", what, m.Fired(), err)
		}
		if ops := m.Ops(); len(ops) > 0 {
			t.Errorf("%s: have %d changes, want none", what, len(ops))
		}
		indextest.AssertStatus(t, m, "/s", 0)
	}
}
