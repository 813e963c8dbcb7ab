package format

import "strconv"

// CheckMagic verifies that src begins with magic (one of the Magic constants);
// what names the file in the error, which is a *CorruptError at offset 0
// without a file name. A short src is an error too.
func CheckMagic(src []byte, magic, what string) error {
	have := src[:min(len(src), MagicSize)]
	if string(have) == magic {
		return nil
	}
	return &CorruptError{What: what + " magic", Want: strconv.Quote(magic), Have: strconv.Quote(string(have))}
}
