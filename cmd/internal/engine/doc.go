// Package engine gives the orchestrator volumes: it implements orchestrator.Engine and orchestrator.Store over the program ddumbfs.
//
//	New(Options) *Engine      Mount starts `ddumbfs mount`, whose process serves the volume and outlives this one
//	Engine.Open(point)        the store of a volume that is mounted, by whomever
//
// What a store does goes to the process that serves the volume, over its control socket (fs/control), with memory or a pipe as an open descriptor. So
// every promise of orchestrator.Store is one of the operations ingest-range, sync, read-back, usage, reclaim and scrub.
//
// Promises. Every call ends within seconds after its context, and with an error when the serving process has not come any further for ten minutes
// (Options.Stall). Errors say file and place and match what the orchestrator knows of: syscall.ENOSPC, EIO, EROFS, EBUSY, EINVAL, ENOTCONN (nobody
// serves the volume any more), fs.ErrNotExist. Nothing is kept: a Store holds no descriptor between calls, and does not keep a mount busy.
package engine
