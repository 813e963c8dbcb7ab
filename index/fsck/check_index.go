package fsck

import (
	"context"
	"sync"
	"time"

	"tresor/index/bitmap"
	"tresor/index/format"
	"tresor/index/table"
)

// chunkSlots is how much of the table one goroutine takes at a time.
const chunkSlots = 1 << 14

// eachChunk cuts the slots of a table into chunks and has them looked at on all processors; start makes a function for each
// goroutine. report gets what they found, in the order of the slots, one call at a time.
func eachChunk(ctx context.Context, slots format.Slot, start func() func(from, to format.Slot) []Finding,
	report func([]Finding)) error {
	type result struct {
		chunk int
		list  []Finding
	}
	chunks := (int(slots) + chunkSlots - 1) / chunkSlots
	queue, results := make(chan int), make(chan result)
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(func() {
			look := start()
			for i := range queue {
				from := format.Slot(i) * chunkSlots
				results <- result{i, look(from, min(from+chunkSlots, slots))}
			}
		})
	}
	go func() {
		defer close(results)
		defer wg.Wait()
		defer close(queue)
		for i := 0; i < chunks && ctx.Err() == nil; i++ {
			queue <- i
		}
	}()
	// Results come nearly in order, so few of them ever wait.
	waiting, next := map[int][]Finding{}, 0
	for r := range results {
		waiting[r.chunk] = r.list
		for list, ok := waiting[next]; ok; list, ok = waiting[next] {
			delete(waiting, next)
			report(list)
			next++
		}
	}
	return ctx.Err()
}

// index checks the layout of the table and collects its addresses.
func (c *checker) index(ctx context.Context) error {
	start := time.Now()
	c.v.logf("== Check index")
	t, g := c.idx.Table(), c.v.Geometry
	twice := bitmap.NewAtomic(g.BlockCount)
	err := eachChunk(ctx, t.Slots(), func() func(from, to format.Slot) []Finding {
		return func(from, to format.Slot) (list []Finding) {
			t.CheckRange(from, to, func(f table.Finding) {
				list = append(list, Finding{Kind: IndexLayout, Slot: f.Slot, Fault: f.Fault, Ideal: f.Ideal, Addr: f.Entry.Addr})
			})
			for s := from; s < to; s++ {
				if s+table.Ahead < to { // addresses come in the order of hashes, that is, in none
					c.indexed.Prefetch(uint64(t.Addr(s + table.Ahead)))
				}
				if a := t.Addr(s); g.InRange(a) && !c.indexed.Set(uint64(a)) {
					twice.Set(uint64(a))
				}
			}
			return list
		}
	}, func(list []Finding) { c.found(list, &c.sum.IndexErrors, 1) })
	if err != nil {
		return err
	}
	twice.Each(0, func(i uint64) bool {
		c.found([]Finding{{Kind: IndexAddressTwice, Addr: format.Address(i)}}, &c.sum.IndexTwice, 1)
		return true
	})
	c.sum.Slots = uint64(t.Slots())
	c.sum.IndexBlocks = c.indexed.Count()
	c.v.logf("== Checked %d nodes in %.1fs", c.sum.Slots, time.Since(start).Seconds())
	return nil
}

// compare puts index, files and bitmap side by side, once all three are known.
func (c *checker) compare() {
	used, indexed, inFiles := c.idx.Bitmap(), c.indexed.Bitmap(), c.inFiles.Bitmap()
	s := &c.sum
	s.Total, s.Used = used.Len(), used.Count()
	s.LastUsed, s.Usage = usage(used)
	s.FileBlocks = inFiles.Count()
	s.IndexNotFiles = without(indexed, inFiles)
	s.FilesNotIndex = without(inFiles, indexed)
	s.FilesAndIndex = s.FileBlocks - s.FilesNotIndex
	s.BlocksNotFiles = without(used, inFiles)
	indexed.AndNot(used)
	for i, ok := indexed.NextSet(0); ok; i, ok = indexed.NextSet(i + 1) {
		c.found([]Finding{{Kind: IndexNotAllocated, Addr: format.Address(i)}}, &s.IndexErrors, 1)
	}
	s.FilesNotBlocks = without(inFiles, used)
}

// without counts what is in a and not in b.
func without(a, b *bitmap.Bitmap) uint64 {
	d := a.Clone()
	d.AndNot(b)
	return d.Count()
}

// usage returns the highest number set, and the signs of Summary.Usage.
func usage(b *bitmap.Bitmap) (last uint64, text string) {
	const tenths = 10
	var set [tenths]uint64
	for i, ok := b.NextSet(0); ok; i, ok = b.NextSet(i + 1) {
		last = i
		set[i*tenths/b.Len()]++
	}
	signs := make([]byte, tenths)
	for i, n := range set {
		// Tenth i begins with the first number for which number*10/len is i.
		size := begin(b.Len(), uint64(i)+1) - begin(b.Len(), uint64(i))
		switch {
		case n == 0:
			signs[i] = '.'
		case n == size:
			signs[i] = '*'
		default:
			signs[i] = '0' + byte(n*tenths/size)
		}
	}
	return last, string(signs)
}

// begin is where a tenth of n numbers begins.
func begin(n, tenth uint64) uint64 { return (n*tenth + 9) / 10 }
