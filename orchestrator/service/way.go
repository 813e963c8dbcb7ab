package service

// Way is how a machine's data reach the volume.
type Way string

// The two ways.
const (
	ViaVolume Way = "volume" // straight
	ViaBuffer Way = "buffer" // over the buffer disk, and from there by a job
)

// chooseWay is the mixed mode of machines that go over the buffer: direct backups into the volume come before one over the buffer, and count of them were
// made. A negative number is always straight, 0 never.
func chooseWay(direct, count int) Way {
	if direct >= 0 && direct <= count {
		return ViaBuffer
	}
	return ViaVolume
}

// nextCount is the count after a backup that succeeded; one that failed does not change it.
func nextCount(way Way, count int) int {
	if way == ViaBuffer {
		return 0
	}
	return count + 1
}

// stagger gives the n-th machine its first count, so that not all of them take the buffer in the same round.
func stagger(direct, n int) int {
	if direct <= 0 {
		return 0
	}
	return (n + 1) % (direct + 1)
}
