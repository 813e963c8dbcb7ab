// Package inode owns the table of objects the kernel knows: which node id it
// was told, how often, and how we get back to the object below.
//
// The node id of an object is its inode number below, its generation that of
// its file handle below. Both are therefore unique, never reused together, and
// the same after a restart of the daemon; this is what makes NFS export and
// open_by_handle_at work. The root of the tree is ID 1 whatever its number is.
//
// Promises:
//
//   - A node stays in the table for as long as the kernel counts lookups of it
//     or a handle pins it, and its object below cannot be replaced under it: a
//     number that comes back with another generation is another Node.
//   - Descriptors are a cache where the file system below has usable file
//     handles (Handles): at most Config.MaxOpen idle ones are kept, any other
//     is opened again by handle. Without handles each node keeps its own.
//   - No system call is made under the lock of the table.
//   - Locate finds an object by number alone and returns it only when it lies
//     in the tree.
package inode
