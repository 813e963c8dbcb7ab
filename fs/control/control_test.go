package control

import (
	"context"
	"errors"
	iofs "io/fs"
	"strings"
	"testing"

	"tresor/index"
	"tresor/index/reclaim"
)

type fakeSource struct {
	stats  index.Stats
	resets int
	err    error
}

func (f *fakeSource) Stats() index.Stats { return f.stats }
func (f *fakeSource) ResetStats()        { f.resets++ }
func (f *fakeSource) Settings() Settings {
	return Settings{Overflow: 1.3, LockIndex: true, WriterPool: -100, ReclaimAt: 95, NextReclaim: 97}
}
func (f *fakeSource) Reclaim(ctx context.Context) (*reclaim.Report, error) {
	if f.err == nil {
		f.err = ctx.Err()
	}
	return &reclaim.Report{Allocated: 12, InUse: 7, Fragmentation: 12.5}, f.err
}

// TestStats pins the form that scripts read: name in 30 columns, value in 9, counters at 0 left out.
func TestStats(t *testing.T) {
	src := &fakeSource{stats: index.Stats{BlockSize: 4096, Hash: "TIGER", Allocated: 12, Free: 88, Hashed: 5, Written: 3}}
	f := New(context.Background(), src)
	have, err := f.Open("stats")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"block_allocated                       12",
		"block_free                            88",
		"block_size                          4096",
		"overflow                            1.30",
		"direct_io                              0",
		"lock_index                             1",
		"hash                               TIGER",
		"writer_pool                         -100",
		"reclaim                               95",
		"next_reclaim                          97",
		"hash                                   5",
		"block_write                            3",
	}, "\n") + "\n"
	if string(have) != want {
		t.Errorf("stats: want\n%s\nhave\n%s", want, have)
	}
	if src.resets != 0 {
		t.Error("stats reset the counters")
	}
	if again, err := f.Open("stats0"); err != nil || string(again) != want || src.resets != 1 {
		t.Errorf("stats0: %v, %d resets, %q", err, src.resets, again)
	}
}

func TestReclaim(t *testing.T) {
	f := New(context.Background(), &fakeSource{})
	have, err := f.Open("reclaim")
	if err != nil || !strings.HasPrefix(string(have), "block_allocated                       12\n") || !strings.Contains(string(have), "12.5%") {
		t.Errorf("reclaim: %v\n%s", err, have)
	}
	failed := errors.New("a file could not be read")
	if _, err := New(context.Background(), &fakeSource{err: failed}).Open("reclaim"); !errors.Is(err, failed) {
		t.Errorf("a failed reclaim: want its error, have %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New(ctx, &fakeSource{}).Open("reclaim"); !errors.Is(err, context.Canceled) {
		t.Errorf("reclaim of a mount that ended: want context.Canceled, have %v", err)
	}
	if _, err := f.Open("else"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("unknown file: have %v", err)
	}
}
