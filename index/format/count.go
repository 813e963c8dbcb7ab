package format

import "strconv"

// Count is a number with what it counts, for texts: "1 block", "2 blocks". The noun is one with a regular plural, in the singular.
func Count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatUint(n, 10) + " " + noun
}
