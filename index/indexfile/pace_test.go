package indexfile_test

import (
	"testing"

	"tresor/index/disk/disktest"
	"tresor/index/indexfile"
)

// TestPagesLostOnTheirWay holds that a part of the table that a flush had handed to the disk and that did not arrive is reported by the sync,
// and by every later one: the kernel tells it once, and the pages are due no more.
func TestPagesLostOnTheirWay(t *testing.T) {
	m, c := disktest.New(), config(t, 300_000) // a table of 10 MB
	x, err := indexfile.Create(m, "/idx", c)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	dirty := func() {
		x.MarkSlots(0, x.Table().Slots()-1)
	}
	flush := disktest.Call{Kind: disktest.Flush}
	dirty()
	m.Inject(disktest.Fault{Call: flush}) // the first only starts a part: nobody has waited for it, so nothing was told
	if err := x.FlushTable(nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Sync(); err != nil {
		t.Fatalf("after a part that could not be started: %v", err)
	}
	dirty()
	m.Heal()
	m.Inject(disktest.Fault{Call: flush, N: 1})
	if err := x.FlushTable(nil); err != nil {
		t.Fatal(err)
	}
	m.Heal()
	for i := range 2 {
		if err := x.Sync(); err == nil {
			t.Errorf("sync %d after a part did not arrive: have no error", i)
		}
	}
}
