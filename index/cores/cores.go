// Package cores says how many processors the process may use, and lets more threads than that wait for a disk.
//
// A thread that waits in a system call keeps its place among the GOMAXPROCS threads of the Go runtime until a monitor takes it away, 20 µs to 10 ms later. A server that
// always has some requests at the disk so leaves processors idle that others could use. Spare raises GOMAXPROCS by as many threads as wait at a time; Count stays what it was, for everybody
// who divides work by processors.
package cores

import (
	"os"
	"runtime"
)

// count is read before Spare can have changed it.
var count = runtime.GOMAXPROCS(0)

// Count returns how many processors the process may use, with the limits of its control group; or what the environment variable GOMAXPROCS says.
func Count() int { return count }

// Waiting is how many threads wait for the disk at a time, in a server that reads past the page cache, while others have work for the processors. What is measured beside such a server gets as
// many to spare.
const Waiting = 6

// Spare lets n more threads run Go code than there are processors; 0 takes that back, for work that waits for nothing. It counts from Count, so calls do not add up. Where the environment variable GOMAXPROCS is set the user has
// decided, and nothing is done.
func Spare(n int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(count + n)
	}
}
