package format

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// units are the letters of the size parser; each is 1024 times the former.
const units = "kMGTPE"

// ParseSize reads a size in bytes: digits with an optional fraction and an
// optional unit k, M, G, T, P or E (powers of 1024, in either case), which B or
// iB may follow: "20G", "1.5TiB", "131072", "64 kB". A fraction of a byte is
// cut off; a fraction without a unit is refused. The result is not negative.
func ParseSize(s string) (int64, error) {
	number, shift := splitUnit(strings.TrimSpace(s))
	whole, fraction, point := strings.Cut(number, ".")
	if !digits(whole) || point && (!digits(fraction) || shift == 0) || len(s) > 64 {
		return 0, fmt.Errorf("size %s: want a number with an optional unit k, M, G or T", quote(s))
	}
	v, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("size %s: not a number", quote(s))
	}
	n := new(big.Int).Lsh(v.Num(), shift)
	n.Quo(n, v.Denom())
	if !n.IsInt64() {
		return 0, fmt.Errorf("size %s: want at most %d bytes", quote(s), int64(math.MaxInt64))
	}
	return n.Int64(), nil
}

// splitUnit cuts the unit off s and returns its power of two.
func splitUnit(s string) (number string, shift uint) {
	bare := s
	if n := len(s); n > 0 && (s[n-1] == 'B' || s[n-1] == 'b') {
		bare = s[:n-1]
	}
	binary := strings.TrimSuffix(strings.TrimSuffix(bare, "i"), "I")
	// "i" stands between a unit and B only.
	if len(binary) < len(bare) && len(bare) == len(s) {
		return s, 0
	}
	if n := len(binary); n > 0 {
		if i := strings.IndexByte(strings.ToLower(units), binary[n-1]|0x20); i >= 0 && binary[n-1] >= 'A' {
			return strings.TrimRight(binary[:n-1], " "), uint(10 * (i + 1))
		}
	}
	if len(binary) < len(bare) {
		return s, 0
	}
	return strings.TrimRight(bare, " "), 0
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// FormatSize writes n bytes for people, in the form that ParseSize reads: the
// largest unit that n reaches, with up to two decimals. Sizes that are not whole
// in them are rounded, so that a value to compute with is better printed in
// bytes.
func FormatSize(n int64) string {
	if n < 0 {
		return strconv.FormatInt(n, 10)
	}
	unit := -1
	v := float64(n)
	for v >= 1024 && unit+1 < len(units) {
		v /= 1024
		unit++
	}
	if unit < 0 {
		return strconv.FormatInt(n, 10)
	}
	text := strconv.FormatFloat(v, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + units[unit:unit+1]
}
