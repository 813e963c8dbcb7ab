package pack

import (
	"tresor/index/bitmap"
	"tresor/index/format"
)

// Moves gives tests the mapping of a bitmap: its first address above what stays, and where an address goes.
func Moves(used *bitmap.Bitmap) (first, total uint64, to func(uint64) (uint64, bool)) {
	m := newMoves(used)
	return m.first, m.total, func(i uint64) (uint64, bool) {
		a, ok := m.to(format.Address(i))
		return uint64(a), ok
	}
}

// EachMove lists the moves as the copying goes through them.
func EachMove(used *bitmap.Bitmap) (list [][2]uint64) {
	newMoves(used).each(func(_, from, to uint64) bool {
		list = append(list, [2]uint64{from, to})
		return true
	})
	return list
}

// AfterMoves is the bitmap when all is done.
func AfterMoves(used *bitmap.Bitmap) *bitmap.Bitmap { return newMoves(used).after() }

// ParsePlan tells what a plan is taken for.
func ParsePlan(data []byte, blockCount uint64, blockSize int) (used *bitmap.Bitmap, copied bool, again []byte, err error) {
	pl, err := parsePlan("plan", data, blockCount, blockSize)
	if err != nil {
		return nil, false, nil, err
	}
	return pl.used, pl.phase == 2, pl.marshal(), nil
}

// MakePlan is the file of a plan.
func MakePlan(used *bitmap.Bitmap, blockSize int, copied bool, index, blocks string) []byte {
	pl := plan{phase: 1, blockSize: uint32(blockSize), index: index, blocks: blocks, used: used, id: [16]byte{1, 2, 3}}
	if copied {
		pl.phase, pl.limit = 2, 7
	}
	return pl.marshal()
}
