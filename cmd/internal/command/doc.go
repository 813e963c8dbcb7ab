// Package command holds the verbs of the program, one file a verb, and the table that finds a verb by its name or by
// the name under which the program was called.
//
// It owns nothing of a volume: a verb turns a command line into the options of one package below (mkfs, fs, fsck),
// calls it, and prints the result. A verb returns an error; package cli makes the message and the exit code of it.
//
// Promises:
//
//   - A name or option taken from one of the original's tools means here what it meant there.
//   - A wrong command line is refused before anything is touched.
//   - Run functions take a context, streams and arguments, and return: they neither exit nor write to the process's
//     own output, so that tests call them side by side. The one exception is the process that serves a mount
//     (mount_serve.go), which owns its signals.
package command
