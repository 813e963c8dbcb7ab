package damage

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain collects garbage less often: each case throws a whole disk away, and the heap is small.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	debug.SetMemoryLimit(1 << 30)
	os.Exit(m.Run())
}
