// Package mounted looks at volumes that other processes serve, and takes their mounts away. It knows the system's mount table, who keeps a mount busy,
// and whether a process owns a volume; what that means to somebody its callers say.
//
//	At(list, point)                     the mount at a mount point
//	Holders(mount) []string             who has a hold on it
//	Owned(parent), WaitClosed(parent)   is a volume open, and until it is not
//	Remove(point, flags)                umount2(2), or fusermount3 for who may not
//
// Promise: nothing here asks the process that serves a mount, so that nothing hangs where that does.
package mounted
