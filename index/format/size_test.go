package format_test

import (
	"math"
	"strings"
	"testing"

	"tresor/index/format"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "131072": 131072, "128k": 131072, "128K": 131072, "20G": 20 << 30, "20g": 20 << 30,
		"1.5T": 3 << 39, "1.5TiB": 3 << 39, "1.5tb": 3 << 39, "4M": 4 << 20, "4MB": 4 << 20, "4 MiB": 4 << 20, " 4M ": 4 << 20,
		"512B": 512, "512 b": 512, "2P": 2 << 50, "7E": 7 << 60, "9223372036854775807": math.MaxInt64,
		"0.1k": 102, "1.3k": 1331, "0.0009765625k": 1, "007k": 7 << 10,
	} {
		if have, err := format.ParseSize(text); err != nil || have != want {
			t.Errorf("%q: have %d, %v; want %d", text, have, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "k", "B", "iB", "-1", "+1", "1.5", "1.", ".5k", "1..5k", "1e3", "0x10", "1_000", "1,5G", "12Q", "12kk", "5iB", "5i", "5ki",
		"8E", "9223372036854775808", "99999999999999999999T", "1/2k", "5 k B", "5\x00k", "五k", "1.5.5k", "NaN", "inf",
		strings.Repeat("9", 1000), "0." + strings.Repeat("0", 1000) + "k",
	} {
		if have, err := format.ParseSize(text); err == nil {
			t.Errorf("%q: have %d, want an error", text, have)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1: "1", 1023: "1023", 1024: "1k", 1536: "1.5k", 100 << 10: "100k", 20 << 30: "20G", 3 << 39: "1.5T", 80741586: "77M",
		1<<30 + 1<<20: "1G", 1<<20 - 1: "1024k", math.MaxInt64: "8E", -5: "-5", 1<<40 + 1<<37: "1.12T",
	} {
		if have := format.FormatSize(n); have != want {
			t.Errorf("%d: have %s, want %s", n, have, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"1.5T", "128k", "20GiB", "0", "9.99E", "-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := format.ParseSize(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Errorf("%q: have %d", s, n)
		}
		// What is printed is read back within the two decimals it shows.
		again, err := format.ParseSize(format.FormatSize(n))
		if err != nil && n < 7<<60 {
			t.Errorf("%q: %d prints as %s: %v", s, n, format.FormatSize(n), err)
		}
		if diff := math.Abs(float64(again) - float64(n)); err == nil && diff > float64(n)/100 {
			t.Errorf("%q: %d prints as %s, which is %d", s, n, format.FormatSize(n), again)
		}
	})
}
