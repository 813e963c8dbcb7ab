// Package tresor holds the verbs of the program tresor, one file a verb, and joins the parts of the orchestrator with the engine.
//
// It owns no rule of what is backed up, kept or verified: those are below orchestrator/. A verb turns a command line into a question to the service
// (over the control socket) or a look at its state, and prints the answer; package cli makes the message and the exit code of an error.
//
// Promises:
//
//   - A wrong command line is refused before anything is touched.
//   - status, jobs, backups, volumes, log and prune --dry-run change nothing, and answer from the disk where no service does.
//   - What comes from outside (names, errors, answers) does nothing to a terminal and forges no line.
//   - Run functions take a context, streams and arguments, and return: they neither exit nor write to the process's own output.
package tresor
