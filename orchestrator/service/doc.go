// Package service is the loop of the backup service: rounds over all machines, the queue of jobs, the changing of disks, and everything an administrator can
// ask of them while they run.
//
// It owns the order in which things happen and the state of that order. What is done in each step belongs to the parts that are handed in (Parts, Snapshot);
// they are small interfaces, so that tests drive the loop with a clock and parts of their own.
//
//	state + now ──decide──▶ Step ──perform──▶ state'      one step after the other
//	jobs of the journal ──worker──▶ volume                beside it, one at a time
//
// Promises:
//
//   - A machine that fails does not keep the others from being backed up; every machine of a round has a result.
//   - Every change of the state is on the disk before it has an effect that others see. A service that is killed at any point goes on with the same round,
//     the same jobs and true counters.
//   - A pause, an immediate stop and a switch reach work within seconds by ending its context: what was cut off is not failed and goes on later.
//   - No wait is without an end: what waits for space, a queue or a disk has a deadline, and says so.
//   - A backup on the buffer is removed only after its copy was verified or an operator dropped its job.
package service
