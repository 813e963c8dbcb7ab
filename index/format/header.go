package format

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// Header of an underlying file, FileHeaderSize bytes (format page, section 6).
const (
	headerMagicOffset = 0
	headerSizeOffset  = 8
)

// PutFileHeader encodes the header of a file of size bytes into the first
// FileHeaderSize bytes of dst, which must be that long.
func PutFileHeader(dst []byte, size uint64) {
	_ = dst[FileHeaderSize-1]
	copy(dst[headerMagicOffset:headerSizeOffset], MagicFile)
	binary.BigEndian.PutUint64(dst[headerSizeOffset:FileHeaderSize], size)
}

// GetFileHeader decodes the header and returns the logical size in bytes, at
// most math.MaxInt64. Errors are *CorruptError without a file name.
func GetFileHeader(src []byte) (size uint64, err error) {
	if err := CheckMagic(src, MagicFile, "file header"); err != nil {
		return 0, err
	}
	if len(src) < FileHeaderSize {
		return 0, &CorruptError{
			What: "file header length",
			Want: strconv.Itoa(FileHeaderSize) + " bytes", Have: strconv.Itoa(len(src)),
		}
	}
	size = binary.BigEndian.Uint64(src[headerSizeOffset:FileHeaderSize])
	if size > math.MaxInt64 {
		return 0, &CorruptError{
			What: "file header size", Offset: headerSizeOffset,
			Want: fmt.Sprintf("at most %d", int64(math.MaxInt64)), Have: strconv.FormatUint(size, 10),
		}
	}
	return size, nil
}
