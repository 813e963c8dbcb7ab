// Package pauses holds the proof that a reclaim keeps nobody waiting: what writers, readers and callers of fsync feel of one on a volume
// with millions of entries, and how long it takes; and what they feel of somebody who reads a large file that no cache holds. The short form looks whether anything stands still; figures come from the long one
// (TRESOR_LONG=1), which wants a machine to itself.
package pauses
