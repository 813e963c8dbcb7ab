// Package alter damages a volume on purpose, so that tests and people can see what a check finds and what a repair brings back.
//
// A Plan collects damages of named kinds, drawn from a seed: equal seeds on equal volumes give equal damages, on any machine.
// Planning reads and changes nothing; Apply does what was planned. Each damage is reported as a value that names the file, the slot,
// the address or the entry that it hits, so that a test knows what can still be recovered.
//
// The parts of a volume are taken as bytes, not through the engine: a plan works on a volume that is damaged already, and leaves
// out (ErrNothing) what is no longer there to be damaged. The caller owns the volume (index.Acquire for writing), which is mounted
// nowhere. Nothing here is restartable, and nothing needs to be: a plan that was interrupted leaves a damaged volume.
package alter
