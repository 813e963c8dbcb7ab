package cores_test

import (
	"runtime"
	"testing"

	"tresor/index/cores"
)

func TestSpare(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	if have := cores.Count(); have != before {
		t.Fatalf("%d processors, the runtime has %d", have, before)
	}
	t.Setenv("GOMAXPROCS", "")
	cores.Spare(3)
	cores.Spare(3)
	if have := runtime.GOMAXPROCS(0); have != before+3 {
		t.Errorf("%d threads after Spare(3), want %d", have, before+3)
	}
	if have := cores.Count(); have != before {
		t.Errorf("%d processors after Spare, want %d", have, before)
	}
	cores.Spare(0)
	if have := runtime.GOMAXPROCS(0); have != before {
		t.Errorf("%d threads after Spare(0), want %d", have, before)
	}
}

func TestSpareLeavesTheUsersChoice(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "1")
	cores.Spare(3)
	if have := runtime.GOMAXPROCS(0); have != before {
		t.Errorf("%d threads, want %d: the environment has decided", have, before)
	}
}
