package disk

import (
	"errors"
	"math"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAvailable(t *testing.T) {
	for text, want := range map[string]uint64{
		"MemTotal:  100 kB\nMemAvailable:     70 kB\nSwapFree:  5 kB\n": 75 << 10,
		"MemAvailable: 70 kB\n":   70 << 10,
		"MemTotal: 100 kB\n":      0,
		"MemAvailable: lots kB\n": 0,
		"":                        0,
	} {
		if have := available(text); have != want {
			t.Errorf("available(%q): want %d, have %d", text, want, have)
		}
	}
}

// TestAllocMoreThanThere: a size that no machine has is an error at once, not a process killed later.
func TestAllocMoreThanThere(t *testing.T) {
	if _, err := Alloc(math.MaxInt64/2, AllocOptions{}); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("want ENOMEM, have %v", err)
	}
	if _, err := Alloc(1<<45, AllocOptions{}); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("32 TiB: want ENOMEM, have %v", err)
	}
}
