// Package contender owns the things that ddbench measures side by side: how each is made, mounted, left and removed again.
//
//   - "raw": a directory of the file system below.
//   - "null": a FUSE file system of the same library and the same mount options as ours (taken from fs/node itself) that throws writes away and
//     serves zeros: the ceiling for anything behind FUSE. Its process has as many threads to spare as the daemon of a volume (cores.Waiting), its mount the same
//     read-ahead, and the kernel keeps in its cache what is read without O_DIRECT.
//   - "loopback": the loopback example of the FUSE library with its options: attributes and names are valid for one second, requests have
//     the library's default size (128 KiB), the kernel's page cache is used. Where the kernel can, the library hands files through
//     to the kernel (passthrough), so that reads and writes never reach its process. It is the library's program as it comes: no threads to spare, no read-ahead
//     of ours.
//   - volumes of ours ("ours-BLAKE3" and so on) and of the original ("original-TIGER"), served by the programs under test.
//   - archives: borg, restic, and volumes of ours that are written without a mount ("ours-cp").
//
// Every file system but raw is served by a process of its own, with the same settings of the process (startServer). A process that was started
// here is waited for here: Stop unmounts, waits with a deadline, then takes the mount away by force and kills the process.
// If ddbench itself is killed, its servers are told to end.
//
// Values are not safe for concurrent use; what lies in a mounted Dir is.
package contender
