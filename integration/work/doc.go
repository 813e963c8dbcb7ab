// Package work guards the cost of what the file system does by counting: system calls, bytes that pass through them, hashes, flushes, writes of
// blocks, entries and headers, allocations, and in how many pieces new blocks lie. Nothing is timed, so a busy machine changes nothing.
//
// Each bound stands in the table of its workload with the reason for its size. It is at most one and a half times what was counted when
// it was set, unless a smaller number makes no sense, so that work done twice fails. `go test -v ./integration/work` prints all counts.
//
// What is not counted: copies within the memory of the process (between the request's buffer and a chunk), and what the kernel does by itself.
// Calls that move no bytes (mmap, mincore, madvise, fsync) are counted by strace, which `make test` installs; without it that test is skipped.
// "Bytes moved" are those that system calls carry between the process and the kernel, requests and replies of FUSE included: each
// is one copy.
package work
