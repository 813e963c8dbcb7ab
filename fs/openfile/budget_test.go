package openfile_test

import (
	"fmt"
	"sync"
	"testing"

	"tresor/fs/openfile"
	"tresor/index/format"
)

const (
	budgetBlock = 32 << 10
	budgetBytes = 16 * budgetBlock
)

// newBudget is a volume whose open files share few block buffers.
func newBudget(t *testing.T, workers int) *memory {
	t.Helper()
	r := newMemory(t, format.CreateOptions{Hash: "TIGER", BlockSize: budgetBlock, Size: 1000 * budgetBlock, Overflow: 1.3}, workers)
	if err := r.m.Close(); err != nil {
		t.Fatal(err)
	}
	r.m = openfile.NewManager(openfile.Config{Volume: r.vol, Workers: workers, BufferBytes: budgetBytes})
	return r
}

func assertBudget(t *testing.T, m *openfile.Manager, when string) {
	t.Helper()
	if have := m.Buffered(); have > budgetBytes {
		t.Errorf("%s: have %d bytes of block buffers, want at most %d", when, have, budgetBytes)
	}
	if have, counted := m.Buffered(), m.Counted(); have != counted {
		t.Errorf("%s: have %d bytes of block buffers, counted %d", when, have, counted)
	}
}

// TestBufferBudget writes one byte into each of many open files: the memory of their block buffers stays within the budget, the file
// written last keeps its buffer, and nothing gets lost.
func TestBufferBudget(t *testing.T) {
	for _, workers := range []int{0, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			r := newBudget(t, workers)
			const files = 200
			handles := make([]*openfile.Handle, files)
			for i := range handles {
				handles[i] = r.file(fmt.Sprint("f", i))
			}
			for pass := range 2 { // the second one completes blocks from what is stored
				for i, h := range handles {
					b := byte(i + 100*pass + 1)
					r.write(h, []byte{b}, int64(3*pass))
					assertBudget(t, r.m, fmt.Sprintf("pass %d, file %d", pass, i))
					if h.File().Buffers() != 1 {
						t.Fatalf("pass %d, file %d: its buffer was flushed, not an older one", pass, i)
					}
					if t.Failed() {
						return
					}
				}
			}
			for i, h := range handles {
				r.assertContent(h, []byte{byte(i + 1), 0, 0, byte(i + 101)})
				if err := h.Close(); err != nil {
					t.Errorf("close file %d: %v", i, err)
				}
			}
			assertBudget(t, r.m, "at the end")
			r.close()
			if s, found := r.status(); s != 0 {
				t.Errorf("check: status %d, %q", s, found)
			}
		})
	}
}

// TestBufferBudgetConcurrent makes room from many writers at once while files are cut, cloned and closed: nothing waits for ever, and
// what was written is there.
func TestBufferBudgetConcurrent(t *testing.T) {
	r := newBudget(t, 2)
	const writers, each, rounds = 6, 20, 8
	handles := make([]*openfile.Handle, writers*each)
	for i := range handles {
		handles[i] = r.file(fmt.Sprint("f", i))
	}
	other := r.file("other")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for round := range rounds {
				for i := w * each; i < (w+1)*each; i++ {
					h := handles[i]
					if _, err := h.WriteAt([]byte{byte(i), byte(round)}, int64(2*round)); err != nil {
						t.Errorf("write file %d: %v", i, err)
					}
					var err error
					switch (i + round) % 8 {
					case 0:
						err = h.File().Truncate(int64(2*round + 2))
					case 1:
						_, err = other.File().CopyFrom(h.File(), 0, 0, 1<<20)
					case 2:
						_, err = h.File().CopyFrom(other.File(), 0, 1<<22, 1<<20)
						if err == nil {
							err = h.File().Truncate(int64(2*round + 2))
						}
					}
					if err != nil {
						t.Errorf("change file %d: %v", i, err)
					}
				}
			}
		})
	}
	wg.Wait()
	assertBudget(t, r.m, "after all writes")
	for i, h := range handles {
		var want []byte
		for round := range rounds {
			want = append(want, byte(i), byte(round))
		}
		r.assertContent(h, want)
		if err := h.Close(); err != nil {
			t.Errorf("close file %d: %v", i, err)
		}
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	r.close()
	if s, found := r.status(); s != 0 {
		t.Errorf("check: status %d, %q", s, found)
	}
}

// TestBufferBudgetWhileOthersMakeRoom writes while another writer is at making room: each submits its own buffers where there are too many.
func TestBufferBudgetWhileOthersMakeRoom(t *testing.T) {
	r := newBudget(t, 2)
	r.m.SetMakingRoom(true)
	var handles []*openfile.Handle
	for i := range 200 {
		h := r.file(fmt.Sprint("f", i))
		r.write(h, []byte{byte(i + 1)}, 1)
		assertBudget(t, r.m, fmt.Sprint("file ", i))
		handles = append(handles, h)
	}
	r.m.SetMakingRoom(false)
	for i, h := range handles {
		r.assertContent(h, []byte{0, byte(i + 1)})
		if err := h.Close(); err != nil {
			t.Errorf("close file %d: %v", i, err)
		}
	}
	r.close()
}
