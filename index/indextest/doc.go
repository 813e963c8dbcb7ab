// Package indextest gives tests small volumes: it makes them without the engine, stores and reads files in them, does one
// named kind of damage at a time, and asserts that a volume is clean.
//
// What it writes follows the format page by the shortest way and what it reads it proves block by block, so that a bug of
// the engine and one of the test cannot hide each other. It works on any disk.FS and ends the test on any error of its own.
// It is for tests only, and for volumes that nobody else has open.
package indextest
