// Package node is the adapter between the kernel's FUSE requests and the rest:
// the only package beside fs that knows the FUSE library.
//
// It serves the directory ddfsroot of a volume. Names, modes, owners, times,
// links, attributes and special files are those of the objects below and every
// request for them becomes one or two system calls relative to a descriptor of
// the object (never a path: renames would race with it). The content of regular
// files goes to the Manager.
//
// Promises:
//
//   - Node ids and generations come from the objects below (package inode), so
//     file handles survive dropped caches and restarts where Exportable says so.
//   - The kernel checks permissions (default_permissions); the daemon runs as
//     root with umask 0 and gives new objects to the caller.
//   - fsync makes the data, the size and the name durable.
//   - Every change is refused with EROFS on a read-only mount and in the special
//     directory.
//   - After Close no descriptor is left.
package node
