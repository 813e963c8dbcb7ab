//go:build !amd64 && !arm64

package prefetch

// Byte fetches the line in which p lies.
func Byte(*byte) {}

// Word fetches the line in which p lies.
func Word(*uint64) {}

// ToWrite is Byte for who is going to write there, or to lock.
func ToWrite(*byte) {}
