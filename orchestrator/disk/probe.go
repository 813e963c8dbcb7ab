package disk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Types of what probe knows.
const (
	typeExt   = "ext4" // and its ancestors, which the same driver mounts
	typeXFS   = "xfs"
	typeBtrfs = "btrfs"
	typeLUKS  = "crypto_LUKS"
)

// superblock says where a file system keeps its magic and its UUID, in bytes from the beginning of the device.
type superblock struct {
	kind  string
	magic string
	at    int64
	uuid  int64
	text  bool // the UUID is written out, with a NUL behind
}

// The offsets are those of the documentation of the kernel and of cryptsetup. Whatever begins at the first byte stands before ext4, which leaves the
// first 1024 bytes alone and may have been there before.
func superblocks() []superblock {
	return []superblock{
		{kind: typeLUKS, magic: "LUKS\xba\xbe", at: 0, uuid: 168, text: true},
		{kind: typeXFS, magic: "XFSB", at: 0, uuid: 32},
		{kind: typeBtrfs, magic: "_BHRfS_M", at: 0x10000 + 0x40, uuid: 0x10000 + 0x20},
		{kind: typeExt, magic: "\x53\xef", at: 1024 + 0x38, uuid: 1024 + 0x68},
	}
}

// probe reads type and UUID of a file system. Both are empty if there is none that it knows.
func probe(r io.ReaderAt) (kind, uuid string, err error) {
	for _, s := range superblocks() {
		magic := make([]byte, len(s.magic))
		if ok, err := readAt(r, magic, s.at); err != nil {
			return "", "", err
		} else if !ok || string(magic) != s.magic {
			continue
		}
		raw := make([]byte, 16)
		if s.text {
			raw = make([]byte, 40)
		}
		if ok, err := readAt(r, raw, s.uuid); err != nil {
			return "", "", err
		} else if !ok {
			continue
		}
		if s.text {
			text, _, _ := bytes.Cut(raw, []byte{0})
			return s.kind, strings.ToLower(string(text)), nil
		}
		h := hex.EncodeToString(raw)
		return s.kind, strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"), nil
	}
	return "", "", nil
}

// readAt tells whether the device is long enough.
func readAt(r io.ReaderAt, p []byte, at int64) (bool, error) {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return true, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return false, nil
	}
	return false, fmt.Errorf("read superblock at %d: %w", at, err)
}
