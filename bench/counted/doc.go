// Package counted counts what the engine asks of the disk: a disk.FS that passes everything on to another one and adds up calls and bytes by
// the kind of file. Benchmarks and the guard of counted work (integration/work) stand on it, since a count says the same on a
// busy machine as on a quiet one.
package counted
