package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// capability is the attribute that the kernel takes away when a file is written to.
const capability = "security.capability"

// Keep describes what writing to the file changes beside its content: time of modification, set-id bits, capabilities. Restore
// takes it. Not part of File, as SetModified.
func (f *osFile) Keep() (kept []byte, err error) {
	err = f.do("stat", -1, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		kept = binary.AppendVarint(kept[:0], int64(st.Mtim.Sec))
		kept = binary.AppendVarint(kept, int64(st.Mtim.Nsec))
		kept = binary.AppendUvarint(kept, uint64(st.Mode&0o7777))
		return nil
	})
	if err != nil {
		return nil, err
	}
	caps := make([]byte, 256) // the kernel's form has 24 bytes
	err = f.do("read capabilities of", -1, func(fd int) error {
		n, err := unix.Fgetxattr(fd, capability, caps)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, ErrUnsupported) {
			n, err = 0, nil
		}
		caps = caps[:max(n, 0)]
		return err
	})
	return append(kept, caps...), err
}

// Restore sets what Keep described.
func (f *osFile) Restore(kept []byte) error {
	sec, n := binary.Varint(kept)
	nsec, m := binary.Varint(kept[max(n, 0):])
	if n <= 0 || m <= 0 {
		return fail("restore attributes of", f.name, -1, fmt.Errorf("%d bytes are no description: %w", len(kept), unix.EINVAL))
	}
	mode, k := binary.Uvarint(kept[n+m:])
	if k <= 0 {
		return fail("restore attributes of", f.name, -1, fmt.Errorf("%d bytes are no description: %w", len(kept), unix.EINVAL))
	}
	caps := kept[n+m+k:]
	return f.do("restore attributes of", -1, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if uint64(st.Mode&0o7777) != mode {
			if err := unix.Fchmod(fd, uint32(mode)); err != nil {
				return err
			}
		}
		if len(caps) > 0 {
			if err := unix.Fsetxattr(fd, capability, caps, 0); err != nil {
				return err
			}
		}
		ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: sec, Nsec: nsec}}
		return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), ts, 0)
	})
}
