package format_test

import (
	"testing"

	"tresor/index/format"
)

func TestCount(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 blocks", 1: "1 block", 2: "2 blocks", 1 << 40: "1099511627776 blocks"} {
		if have := format.Count(n, "block"); have != want {
			t.Errorf("%d: have %q, want %q", n, have, want)
		}
	}
}
