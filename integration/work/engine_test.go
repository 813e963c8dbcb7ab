package work

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"tresor/bench/counted"
	"tresor/fs/transfer"
	"tresor/index/disk"
)

const megabytes = fileSize / mib

// TestWrite counts new data with its fsync, and the same data again under another name.
func TestWrite(t *testing.T) {
	r := newRig(t)
	data := random(1, fileSize)
	h := r.open1(1, "a")
	d := r.count(func() {
		r.write(h, data)
		must(t, h.Sync(false))
	})
	b, e, head := d.of(counted.Blocks), d.of(counted.Entries), d.of(counted.Headers)
	t.Run("unique", func(t *testing.T) {
		hold(t, []bound{
			{"writes of blocks a MiB", per(b.Writes, megabytes), 1.2, "one for each request; an extent of 8 MiB cuts one more"},
			{"writes of entries a MiB", per(e.Writes, megabytes), 1, "one for each request; how many are gathered see TestCommitsGather"},
			{"writes of headers a MiB", per(head.Writes, megabytes), 1, "one with the entries"},
			{"flushes started a MiB", per(b.Flushes, megabytes), 0.17, "a window of 8 MiB each"},
			{"allocations a MiB", per(d.allocs, megabytes), 26, "a claim and its channel for each of 8 blocks, and first use of buffers"},
		},
			exactly{"hashes", int64(d.stats.Hashed), fileSize / block},
			exactly{"blocks written", int64(d.stats.Written), fileSize / block},
			exactly{"bytes of blocks", b.WriteBytes, fileSize},
			exactly{"reads of blocks", b.Reads, 0},
			exactly{"syncs of the block file", b.Syncs, 1},
			exactly{"syncs of the file", e.Syncs, 1},
			exactly{"writes of the index", d.of(counted.Index).Writes, 0},
			exactly{"syncs of the index", d.of(counted.Index).Syncs, 0})
	})
	must(t, h.Close())
	h = r.open1(2, "b")
	r.write(h, data) // buffers and pools are there now
	must(t, h.Flush())
	d = r.count(func() {
		r.write(h, data)
		must(t, h.Flush())
	})
	must(t, h.Close())
	b, e, head = d.of(counted.Blocks), d.of(counted.Entries), d.of(counted.Headers)
	t.Run("known", func(t *testing.T) {
		hold(t, []bound{
			{"writes of entries a MiB", per(e.Writes, megabytes), 1, "one for each request"},
			{"reads of entries a MiB", per(e.Reads, megabytes), 1, "what is overwritten is kept until it is replaced, one read for each write"},
			{"allocations a MiB", per(d.allocs, megabytes), 1, "none is needed; lists that grow"},
		},
			exactly{"hashes", int64(d.stats.Hashed), fileSize / block},
			exactly{"writes of blocks", b.Writes, 0},
			exactly{"reads of blocks", b.Reads, 0},
			exactly{"writes of headers", head.Writes, 0},
			exactly{"syncs", b.Syncs + e.Syncs + d.of(counted.Index).Syncs, 0})
	})
}

// TestRead counts a first pass after the volume was opened, which proves all blocks, and a second one, which proves none.
func TestRead(t *testing.T) {
	r := newRig(t)
	h := r.open1(1, "a")
	r.write(h, random(2, fileSize))
	must(t, h.Close())
	r.reopen()
	h = r.open1(1, "a")
	p := make([]byte, request)
	for pass, proofs := range []int64{fileSize / block, 0} {
		d := r.count(func() { r.read(h, p) })
		b, e := d.of(counted.Blocks), d.of(counted.Entries)
		t.Run([]string{"cold", "warm"}[pass], func(t *testing.T) {
			hold(t, []bound{
				{"reads of blocks a MiB", per(b.Reads, megabytes), 1.2, "one for each request; an extent of 8 MiB cuts one more"},
				{"reads of entries a MiB", per(e.Reads, megabytes), 1.6, "one for each request, one each 4 MiB to look ahead"},
				{"advice a MiB", per(b.Ahead, megabytes), 0.75, "a run of 2 MiB each at most, and borders"},
				{"allocations a MiB", per(d.allocs, megabytes), 1, "none is needed"},
			},
				exactly{"proofs", int64(d.stats.Verified), proofs},
				exactly{"bytes of blocks", b.ReadBytes, fileSize},
				exactly{"writes", b.Writes + e.Writes + d.of(counted.Headers).Writes + d.of(counted.Index).Writes, 0})
		})
	}
	must(t, h.Close())
}

// TestRandomOverwrite writes 4 KiB at random places of a file whose blocks are all known.
func TestRandomOverwrite(t *testing.T) {
	r := newRig(t)
	h := r.open1(1, "a")
	r.write(h, random(3, fileSize))
	must(t, h.Sync(false))
	const n = 4096
	rnd, p := rand.New(rand.NewPCG(3, 4)), random(4, 4096)
	d := r.count(func() {
		for i := range n {
			p[0], p[1], p[2] = byte(i), byte(i>>8), 1
			_, err := h.WriteAt(p, rnd.Int64N(fileSize/4096)*4096)
			must(t, err)
		}
		must(t, h.Sync(false))
	})
	must(t, h.Close())
	b, e := d.of(counted.Blocks), d.of(counted.Entries)
	hold(t, []bound{
		{"hashes a write", per(int64(d.stats.Hashed), n), 0.19, "each of the file's 512 blocks once: what is written gathers until the fsync"},
		{"proofs a write", per(int64(d.stats.Verified), n), 0.15, "each of the file's 512 blocks once, when its other bytes are read"},
		{"reads of blocks a write", per(b.Reads, n), 0.19, "what is missing of each block, once"},
		{"writes of blocks a write", per(b.Writes, n), 0.19, "one for each hash"},
		{"writes of entries a write", per(e.Writes, n), 0.13, "one for each block, fewer where neighbours are ready"},
		{"syncs of the block file a write", per(b.Syncs, n), 0.13, "old bytes are durable before their entry goes; one sync serves a batch"},
		{"allocations a write", per(d.allocs, n), 3, "a claim for each block stored; maps of buffers"},
	},
		exactly{"writes of headers", d.of(counted.Headers).Writes, 0},
		exactly{"syncs of the index", d.of(counted.Index).Syncs, 0})
}

// TestSmallFiles makes files of one block's part each.
func TestSmallFiles(t *testing.T) {
	r := newRig(t)
	const n = 1000
	data := random(5, n*4096)
	d := r.count(func() {
		for i := range n {
			h := r.open1(10+i, name(i))
			_, err := h.WriteAt(data[i*4096:(i+1)*4096], 0)
			must(t, err)
			must(t, h.Close())
		}
	})
	b := d.of(counted.Blocks)
	hold(t, []bound{
		{"allocations a file", per(d.allocs, n), 34, "the open file, its maps, a claim"},
	},
		exactly{"reads of the files", d.of(counted.Headers).Reads + d.of(counted.Entries).Reads, 0},
		exactly{"hashes", int64(d.stats.Hashed), n},
		exactly{"writes of blocks", b.Writes, n},
		exactly{"writes of headers", d.of(counted.Headers).Writes, n},
		exactly{"writes of entries", d.of(counted.Entries).Writes, n},
		exactly{"opens", d.of(counted.Entries).Opens, n},
		exactly{"syncs", b.Syncs + d.of(counted.Entries).Syncs + d.of(counted.Index).Syncs, 0})
}

// TestReclaim removes one of two files and frees its blocks.
func TestReclaim(t *testing.T) {
	r := newRig(t)
	for i := range 2 {
		h := r.open1(1+i, name(i))
		r.write(h, random(byte(6+i), fileSize))
		must(t, h.Sync(false))
		must(t, h.Close())
	}
	must(t, r.vol.Checkpoint())
	must(t, os.Remove(r.path(name(0))))
	d := r.count(func() { r.reclaim() })
	b, e, x := d.of(counted.Blocks), d.of(counted.Entries), d.of(counted.Index)
	entry := int64(r.vol.Geometry().EntrySize)
	hold(t, []bound{
		{"reads of the underlying file", float64(e.Reads + d.of(counted.Headers).Reads), 3, "its header, its entries"},
		{"bytes of entries of bytes there are", float64(e.ReadBytes) / float64(fileSize/block*entry), 1.1, "each entry is read once"},
		{"syncs of names", float64(d.names), 4, "the file system once, the snapshot's directory"},
		{"allocations", float64(d.allocs), 300, "of the walk; they do not grow with the blocks"},
	},
		exactly{"hashes", int64(d.stats.Hashed + d.stats.Verified), 0},
		exactly{"reads of blocks", b.Reads, 0},
		exactly{"writes of blocks", b.Writes, 0},
		exactly{"syncs of the index", x.Syncs, 1},
		exactly{"checkpoints", int64(d.stats.Checkpoints), 1})
}

// TestCopyIn stores a file without a mount.
func TestCopyIn(t *testing.T) {
	r := newRig(t)
	from := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(from, random(9, fileSize), 0o600))
	f, err := disk.OS().OpenFile(from, os.O_RDONLY, 0)
	must(t, err)
	defer f.Close()
	target := transfer.NewTarget(r.vol, 2)
	for pass, fresh := range []int64{fileSize / block, 0} {
		allocs := []float64{27, 2.5}[pass]
		d := r.count(func() {
			_, err := target.CopyIn(context.Background(), name(pass), transfer.FromFile(f), transfer.InOptions{})
			must(t, err)
		})
		b, e := d.of(counted.Blocks), d.of(counted.Entries)
		t.Run([]string{"unique", "known"}[pass], func(t *testing.T) {
			hold(t, []bound{
				{"writes of blocks of chunks with new ones", per(b.Writes, max(int(fresh)*block/mib, 1)), 1.2, "one each"},
				{"writes of entries a MiB", per(e.Writes, megabytes), 1, "one for each chunk"},
				{"writes of headers a MiB", per(d.of(counted.Headers).Writes, megabytes), 1.1, "one with the entries, and the size at the end"},

				{"allocations a MiB", per(d.allocs, megabytes), allocs, "a claim for each new block; first use of buffers"},
			},
				exactly{"hashes", int64(d.stats.Hashed), fileSize / block},
				exactly{"syncs of the file", e.Syncs, 1},
				exactly{"blocks written", int64(d.stats.Written), fresh},
				exactly{"reads of blocks", b.Reads, 0},
				exactly{"syncs of the index", d.of(counted.Index).Syncs, 0})
		})
	}
	must(t, target.Close())
}
