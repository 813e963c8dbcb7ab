// Package run owns a run of ddbench from its options to its record: which contenders do which workloads, in which order, how long, and that nothing is
// left behind.
//
// It promises:
//
//   - Interleaving: in each round every contender does a workload once, one directly after another, in turn forwards and backwards, so that a
//     slow minute of the machine hits all of them.
//   - Bounds: the run ends within the time, and takes no more room of the disk than it was given. Where time is short, workloads are left out for
//     a round in the order of their rank, those that the table of figures stands on last; the record says what was left out. Where room or memory is short, the
//     data is smaller, and the record says so.
//   - A run on a busy machine is marked as void in the record: the write of the null file system says whether it was.
//   - However it ends, what it has mounted is unmounted, its processes have ended, and its directory is gone. A mount that does not let go is taken away by
//     force, and a process that does not end is killed; both are errors.
//
// A contender or workload that cannot be measured is left out from then on, noted, and makes the run fail at its end; a program that is not
// installed is noted only.
package run
