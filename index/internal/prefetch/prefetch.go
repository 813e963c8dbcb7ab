// Package prefetch has the processor fetch memory that is needed soon, and does not wait for it. Whoever looks up millions of things all over
// gigabytes waits for memory most of the time, one look-up after the other; asked for some look-ups before, it comes meanwhile.
//
// It is advice: nothing is read, so that no lock is needed and a race with a writer is none. On processors for which it is not written it does nothing.
package prefetch

// LineBytes is what memory is fetched in, at least.
const LineBytes = 64
