// Package cli is what every command has in common: exit codes, the form of error messages, text and JSON output,
// progress on a terminal, and signals turned into a context.
//
// Promises:
//
//   - Every way a command can end has a named code, and an error becomes a code in one place (CodeOf, FsckCodeOf).
//     Codes are part of the interface for scripts: they are listed per verb in docs/commands.md, a test holds the list
//     against the code, and a code never gets a second meaning.
//   - An error is one line on the error stream, `ddumbfs VERB: message`, followed by one `hint:` line where the user
//     can do something about it. Results go to the output stream and nothing else does.
//   - Nothing here exits the process or installs a signal handler for good: main does that, so that tests can run
//     every command in their own process.
package cli
