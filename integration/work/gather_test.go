package work

import (
	"sync"
	"testing"
	"time"

	"tresor/bench/counted"
)

// TestCommitsGather holds the first write of entries up until eight requests are through with their blocks: what came together meanwhile is
// written with one write of entries and one of the header.
func TestCommitsGather(t *testing.T) {
	const size = 8 << 20 // all of it fits into the pipeline
	r := newRig(t)
	var once sync.Once
	arrived, go1 := make(chan struct{}), make(chan struct{})
	r.before = func(c counted.Class) {
		if c == counted.Headers || c == counted.Entries {
			once.Do(func() {
				close(arrived)
				<-go1
			})
		}
	}
	r.reopen()
	h := r.open1(1, "a")
	d := r.count(func() {
		r.write(h, random(11, size))
		<-arrived
		for r.vol.Stats().Written < size/block {
			time.Sleep(time.Millisecond)
		}
		// The last ones only have to note that they are done. If the machine is so busy that they do not, that is one more write.
		time.Sleep(50 * time.Millisecond)
		close(go1)
		must(t, h.Flush())
	})
	must(t, h.Close())
	hold(t, []bound{
		{"writes of entries", float64(d.of(counted.Entries).Writes), 4, "the first, and one of all others; two more for late ones"},
		{"writes of headers", float64(d.of(counted.Headers).Writes), 4, "with the entries"},
	})
}
