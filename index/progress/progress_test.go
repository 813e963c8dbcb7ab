package progress_test

import (
	"slices"
	"sync"
	"testing"

	"tresor/index/progress"
)

func TestMeterReportsEveryStep(t *testing.T) {
	var got []progress.Stage
	m := progress.New(func(s progress.Stage) { got = append(got, s) }, "hash blocks", progress.Bytes, 10)
	m.Add(4)
	m.Add(6)
	want := []progress.Stage{
		{Name: "hash blocks", Unit: progress.Bytes, Total: 10},
		{Name: "hash blocks", Unit: progress.Bytes, Done: 4, Total: 10},
		{Name: "hash blocks", Unit: progress.Bytes, Done: 10, Total: 10},
	}
	if !slices.Equal(got, want) {
		t.Errorf("a meter of 10 bytes, 4 and 6 added: have %v, want %v", got, want)
	}
}

func TestMeterFromManyGoroutines(t *testing.T) {
	var last uint64
	m := progress.New(func(s progress.Stage) {
		if s.Done < last {
			t.Errorf("done went back from %d to %d", last, s.Done)
		}
		last = s.Done
	}, "files", progress.Files, 0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				m.Add(1)
			}
		})
	}
	wg.Wait()
	if last != 800 {
		t.Errorf("8 goroutines added 100 each: have %d, want 800", last)
	}
	progress.New(nil, "nobody looks", progress.Files, 0).Add(1)
}
