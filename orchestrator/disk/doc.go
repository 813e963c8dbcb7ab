// Package disk finds, attaches, mounts and gives back the file systems on which volumes lie. What it promises:
//
//   - A disk is found by the UUID that stands in its file system, read there; links of udev are a hint. Two devices with the same UUID are an error, unless
//     one of them is mounted where this disk is to be, and so is a name that only begins alike. A device that does not answer does not hide the others.
//   - Whether something is mounted is read from /proc/self/mountinfo and compared by device numbers. What is mounted already is used where it is.
//   - A loop file has one loop device; one that is there already is used, and ours vanishes with the last user, also after a crash.
//   - Processes that use a disk are named, and never ended, unless End is called.
//   - Every call ends with its context, also if the disk does not answer: the step then goes on by itself and its result is seen by the next Look.
//
// Encrypted disks and network file systems come in by the interfaces Opener and Mounter.
package disk
