// Package fs mounts a volume: it opens (and if need be repairs) the engine, joins it to the FUSE adapter, does the work in the background, and
// closes everything in the right order.
//
// Order of a shutdown, whoever began it (umount, a signal, the daemon's end): the kernel's last requests are answered; what was asked for on the
// control socket, background work and a running reclaim are ended and waited for; open files are flushed and closed; the volume is checkpointed
// and its mark of being mounted removed; the parent's lock is given back. Only then Wait returns.
package fs
