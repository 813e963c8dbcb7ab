// Package scale measures what grows with a volume: memory, the time of a mount, probes and insertions of the index, storing of blocks, reclaim and
// check, with as many entries as one likes and no data behind them (the block file is one hole).
//
//	make bench-scale ENTRIES=20000000
//
// prints a table, a line for docs/performance.md and JSON, with the machine and the revision of the sources, and fails where the engine page's limits
// are not kept. 20 million entries take a gigabyte of memory and two of disk (below TMPDIR), 200 million nine and fourteen. What does not depend
// on who else uses the machine is given in time of the processors.
package scale
