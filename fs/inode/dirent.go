package inode

import (
	"bytes"
	"encoding/binary"
)

// Dirent is one entry of a getdents64(2) buffer. Name aliases the buffer.
type Dirent struct {
	Ino  uint64
	Off  int64 // position after this entry, for lseek
	Type byte  // DT_...
	Name []byte
}

// Offsets in struct linux_dirent64: u64 number, s64 position, u16 length of the
// whole entry, u8 type, name ended by a zero byte.
const (
	direntOff    = 8
	direntLength = 16
	direntType   = 18
	direntName   = 19
)

// NextDirent splits the first entry off buf. ok is false at the end of the
// buffer, and where the entry is not whole.
func NextDirent(buf []byte) (d Dirent, rest []byte, ok bool) {
	if len(buf) < direntName {
		return d, nil, false
	}
	n := int(binary.NativeEndian.Uint16(buf[direntLength:]))
	if n < direntName || n > len(buf) {
		return d, nil, false
	}
	name := buf[direntName:n]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return Dirent{
		Ino:  binary.NativeEndian.Uint64(buf),
		Off:  int64(binary.NativeEndian.Uint64(buf[direntOff:])),
		Type: buf[direntType],
		Name: name,
	}, buf[n:], true
}

// IsDot tells whether the entry is "." or "..".
func (d *Dirent) IsDot() bool {
	return len(d.Name) <= 2 && (string(d.Name) == "." || string(d.Name) == "..")
}
