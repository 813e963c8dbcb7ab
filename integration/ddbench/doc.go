// Package ddbench runs the real benchmark program in its quick form: everything that it says it measures has a number, and nothing stays mounted,
// running or on the disk, also if it is interrupted, killed, or served by programs that fail. How fast anything is it does not ask.
package ddbench
