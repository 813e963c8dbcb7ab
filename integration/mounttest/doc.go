// Package mounttest mounts volumes for tests and looks after what they leave.
//
// It owns the places (parent directories, mount points, loop-mounted disks),
// the ddumbfs binary that it builds once per test process, and the way from a
// mounted volume to a checked one. Promises:
//
//   - Every mount is taken away when its test ends, also when it fails: by a
//     clean unmount if possible, else by a lazy one and a kill by process id.
//     A test process that panics or is killed cannot; a guard process does it then.
//   - After a clean unmount the volume is checked by index/fsck, every block
//     hashed; findings fail the test, and so do errors in the volume's log,
//     a mark of an unclean stop, and descriptors of it that are still open.
//   - A volume of a failed test is kept, and its place is printed.
//
// A test binary that uses it calls Main from its TestMain.
//
// A mount is served either by the test process (so that the race detector sees
// both sides) or by the real binary as a daemon. Whoever maps files of the
// mount into memory needs the daemon: a page fault stops a thread without the
// Go scheduler knowing, and the process would wait for itself.
package mounttest
