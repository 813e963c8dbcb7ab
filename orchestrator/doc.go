// Package orchestrator holds the words that the parts of the backup service share: what a backup is, what a source and a mounted volume can do, and
// who is told about it. It does no work and imports no other package of ours; the parts below it import it and not each other, and cmd/internal
// joins them and hands them the engine.
//
//	Source ──Open──▶ Tree        what is to be backed up, ready to be read (a directory, a snapshot)
//	Engine ──Mount─▶ Store       a volume that is mounted, with what only the engine can do
//	Backup, Record               one generation of one machine, and what is known about it
//	Event ────────▶ Notifier     what people are told
//
// A machine is whatever is backed up under one name: a directory source today, a virtual machine later.
package orchestrator
