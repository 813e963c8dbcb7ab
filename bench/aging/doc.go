// Package aging looks at what years do to a volume: generations of a changing image are stored, old ones removed, their room reclaimed and
// used again, and the question is whether the newest one still reads as fast as the first.
//
// What decides is counted: runs of neighbouring blocks per GiB of a file (fragments), of all its blocks and of those that its generation
// brought; system calls of a read. Cold reads go through a real mount, since that reads long runs otherwise than short ones, and are ratios of passes
// in turn. The last line of the output is one for docs/performance.md, which a test built with the race detector does not print; nor does it hold rates against bounds. The JSON names the machine and the
// revision of the sources.
//
//	go test -v -run Aging ./bench/aging                 half a minute, most of it for building the program
//	TRESOR_LONG=1 go test -v -run Aging ./bench/aging   1 GiB, 50 generations (make bench-aging)
package aging
