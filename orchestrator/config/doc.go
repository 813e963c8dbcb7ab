// Package config owns the settings of the service: one TOML file, its defaults, its checks, the secrets that it names, and the import of the
// predecessor's files.
//
// Promises:
//
//   - A file is taken whole or not at all. Load returns every mistake at once, each with file, line, what was wanted and what was found; a key that
//     does not exist is a mistake, with the nearest that does.
//   - A Config is a snapshot: nobody changes it after Load, a reload makes a new one. It may be read by any number of goroutines.
//   - Every key has a default, which Default returns, Example shows and a test holds together.
//   - Secrets are never in the file. They are read from files that only their owner can read, or from the credentials of systemd, and print as ***.
//   - The predecessor's files are parsed and never executed.
//
// What a key means to the parts is said at the fields of Config and, for the people who write the file, in the example.
package config
