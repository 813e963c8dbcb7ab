package verify

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/blake3"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/cksum"
)

// piece is how much is read between two looks at pause and cancellation, in bytes.
const piece = 1 << 20

// hasher makes all sums of a file that is written to it. It waits while there is a pause.
type hasher struct {
	ctx  context.Context
	gate func(context.Context) error
	left int           // bytes until the gate is looked at again
	hold time.Duration // that a pause may last; 0: for ever
	held bool          // it lasted longer, and the sums are worth nothing

	size     int64
	cksum    cksum.State
	xxh      *xxhash.Digest
	whole    *blake3.Hasher // nil: not wanted
	part     *blake3.Hasher
	partLeft int64
	segment  int64 // bytes; 0: only size and cksum are wanted
	segments []orchestrator.Digest
}

// hasher makes the sums that want has.
func (v *Verifier) hasher(ctx context.Context, want *orchestrator.FileSum) *hasher {
	h := &hasher{ctx: ctx, gate: v.o.Gate, segment: want.SegmentSize, partLeft: want.SegmentSize}
	if h.segment > 0 {
		h.xxh, h.part = xxhash.New(), blake3.New()
		if want.Blake3 != nil {
			h.whole = blake3.New()
		}
	}
	return h
}

// Write takes the next bytes. Its error is that of the context.
func (h *hasher) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if h.left <= 0 {
			if err := h.wait(); err != nil {
				return n, err
			}
			h.left = piece
		}
		k := min(len(p)-n, h.left)
		h.add(p[n : n+k])
		h.left -= k
		n += k
	}
	return n, nil
}

// errHeld ends a reading in a long pause.
var errHeld = errors.New("there is a pause")

// wait waits for the end of a pause, but not longer than hold.
func (h *hasher) wait() error {
	if h.hold <= 0 {
		return h.gate(h.ctx)
	}
	ctx, cancel := context.WithTimeoutCause(h.ctx, h.hold, errHeld)
	defer cancel()
	err := h.gate(ctx)
	if err != nil && h.ctx.Err() == nil {
		h.held = true
	}
	return err
}

func (h *hasher) add(p []byte) {
	h.size += int64(len(p))
	h.cksum = h.cksum.Update(p)
	if h.segment <= 0 {
		return
	}
	_, _ = h.xxh.Write(p) // a hash takes everything
	if h.whole != nil {
		_, _ = h.whole.Write(p)
	}
	for len(p) > 0 {
		k := min(int64(len(p)), h.partLeft)
		_, _ = h.part.Write(p[:k])
		p, h.partLeft = p[k:], h.partLeft-k
		if h.partLeft == 0 {
			h.cut()
		}
	}
}

// cut ends a segment.
func (h *hasher) cut() {
	h.segments = append(h.segments, orchestrator.Digest(h.part.Sum(nil)))
	h.part.Reset()
	h.partLeft = h.segment
}

// sum is what was found.
func (h *hasher) sum(want *orchestrator.FileSum) orchestrator.FileSum {
	have := orchestrator.FileSum{Path: want.Path, Size: h.size, Mtime: want.Mtime, Cksum: h.cksum.Sum(), SegmentSize: h.segment}
	if h.segment <= 0 {
		return have
	}
	if h.partLeft < h.segment {
		h.cut()
	}
	have.XXH64, have.Segments = h.xxh.Sum64(), h.segments
	if h.whole != nil {
		d := orchestrator.Digest(h.whole.Sum(nil))
		have.Blake3 = &d
	}
	return have
}

// differ says what of a file's content is not as it should be; empty: nothing. The segment that differs first is named.
func differ(want, have *orchestrator.FileSum) string {
	if want.Size != have.Size {
		return fmt.Sprintf("size: wanted %d, found %d", want.Size, have.Size)
	}
	for i, w := range want.Segments {
		if i >= len(have.Segments) {
			return fmt.Sprintf("segments: wanted %d, found %d", len(want.Segments), len(have.Segments))
		}
		if h := have.Segments[i]; w != h {
			from := int64(i) * want.SegmentSize
			return fmt.Sprintf("segment %d (bytes %d to %d): wanted BLAKE3 %s, found %s", i, from, min(from+want.SegmentSize, want.Size)-1,
				hex.EncodeToString(w[:]), hex.EncodeToString(h[:]))
		}
	}
	switch {
	case want.Cksum != have.Cksum:
		return fmt.Sprintf("cksum: wanted %d, found %d", want.Cksum, have.Cksum)
	case want.SegmentSize > 0 && want.XXH64 != have.XXH64:
		return fmt.Sprintf("XXH64: wanted %016x, found %016x", want.XXH64, have.XXH64)
	case want.Blake3 != nil && *want.Blake3 != *have.Blake3:
		return fmt.Sprintf("BLAKE3: wanted %s, found %s", hex.EncodeToString(want.Blake3[:]), hex.EncodeToString(have.Blake3[:]))
	}
	return ""
}
