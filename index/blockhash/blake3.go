package blockhash

import (
	"encoding/binary"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/cpu"
	"lukechampine.com/blake3/guts"
)

// subtreeBytes is what guts hashes at once, 16 chunks in the lanes of AVX-512.
const subtreeBytes = guts.MaxSIMD * guts.ChunkSize

// wide tells whether this processor has those lanes, with what the assembly of guts uses of them, and whether both modules agree on it: 30 µs at the start, so that no fault of one of them can give a block another name.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && agree()

func agree() bool {
	var block [3 * subtreeBytes]byte
	for i := range block {
		block[i] = byte(i*7 ^ i>>8)
	}
	return blake3Wide(block[:]) == blake3.Sum256(block[:])
}

// blake3Sum is BLAKE3, https://github.com/BLAKE3-team/BLAKE3-specs. Where the processor has AVX-512 and the block is whole subtrees of 16 chunks, these are hashed with it and put together here:
// 1.35 times as fast as the module that does the rest, which knows AVX2 (decision 0013).
func blake3Sum(block []byte) [32]byte {
	if wide && len(block) > 0 && len(block)%subtreeBytes == 0 {
		return blake3Wide(block)
	}
	return blake3.Sum256(block)
}

// blake3Wide hashes whole subtrees. As in section 2.1 of the BLAKE3 paper a left subtree is the largest power of two that leaves something to the right: two of one size become one as soon as both are
// there, and at the end what is left is joined from right to left.
func blake3Wide(block []byte) (sum [32]byte) {
	var left [64][8]uint32 // finished subtrees, the largest first: one for each bit of their number
	top := 0
	var node guts.Node
	for i := 0; i*subtreeBytes < len(block); i++ {
		if i > 0 { // node waits for its right one
			left[top] = guts.ChainingValue(node)
			top++
		}
		node = guts.CompressBuffer((*[subtreeBytes]byte)(block[i*subtreeBytes:]), subtreeBytes, &guts.IV, uint64(i)*guts.MaxSIMD, 0)
		for n := i + 1; n&1 == 0; n >>= 1 {
			top--
			node = guts.ParentNode(left[top], guts.ChainingValue(node), &guts.IV, 0)
		}
	}
	for top > 0 {
		top--
		node = guts.ParentNode(left[top], guts.ChainingValue(node), &guts.IV, 0)
	}
	node.Flags |= guts.FlagRoot
	words := guts.CompressNode(node)
	for i := range len(sum) / 4 {
		binary.LittleEndian.PutUint32(sum[4*i:], words[i])
	}
	return sum
}
