// Package faults holds the fault matrix: every operation on a volume, with every disk call of it failing in turn, and the power cut after every
// change of the disk, counted. The outcome of each case is right data or a reported error, and a clean volume after the repair. It has
// tests only.
//
// A case is an operation on a volume of some shape and either a call (kind, call site, how many came before) with the way in which it
// fails, or a number of changes after which the power goes with the fate of what was not synced. All of it runs on disks in memory.
package faults
