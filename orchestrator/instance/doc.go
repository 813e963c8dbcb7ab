// Package instance owns the rules that keep two services from working on the same things: a lock that only one process holds, and a private directory
// that must be empty at the start.
//
//	lock, err := instance.Acquire("/run/tresor/lock", time.Now()) // *HeldError names the holder
//	defer lock.Release()
//	err = instance.Private(ctx, config.Paths.Temporary, place.Sweep) // *LeftoverError names what lies there
//
// The lock is the kernel's (flock): it ends with the process, however that ends, so it is never stale and nobody has to remove a file. What the file says
// about its holder is for people.
package instance
