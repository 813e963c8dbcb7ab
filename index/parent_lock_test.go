package index_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/disk/disktest"
	"tresor/index/format"
	"tresor/index/indextest"
)

// TestLockThatFails: only what is not there and what cannot be locked where it lies goes without a lock. Whoever has no descriptor left for it, or
// a disk that does not answer, may have another owner.
func TestLockThatFails(t *testing.T) {
	for n, what := range []string{"parent directory", "block file", "index"} {
		for _, cause := range []error{unix.EMFILE, unix.EIO, unix.EACCES, unix.EOPNOTSUPP, unix.ENOSYS} {
			m := disktest.New()
			indextest.New(t, indextest.Options{FS: m, Dir: "/v"})
			m.Inject(disktest.Fault{Call: disktest.Call{Kind: disktest.Lock}, N: n, Err: cause})
			p, err := index.Acquire(index.Location{FS: m, Parent: "/v"}, index.Write)
			if m.Fired() != 1 {
				t.Fatalf("%s: the fault fired %d times", what, m.Fired())
			}
			if n > 0 && errors.Is(cause, errors.ErrUnsupported) {
				if err != nil {
					t.Errorf("%s, %v: %v", what, cause, err)
				} else if err := p.Close(); err != nil {
					t.Error(err)
				}
			} else if !errors.Is(err, cause) || errors.Is(err, format.ErrBusy) {
				t.Errorf("%s: have %v, want %v, and nobody accused of owning it", what, err, cause)
			}
			m.CheckLeaks(t)
		}
	}
}
