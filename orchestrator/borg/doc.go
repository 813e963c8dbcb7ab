// Package borg drives an installed BorgBackup (1.2 or later, before 2) as one more target of the sources. It owns the processes of borg that it
// starts and knows repositories by what borg says of them, in JSON; it touches no repository itself.
//
//	b, err := borg.New(ctx, borg.Options{Base: filepath.Join(config.Paths.State, "borg")})
//	report := b.Run(ctx, []borg.Repository{{Name: "nas", URL: "ssh://backup@nas/./host", Encryption: "repokey-blake2", Passphrase: secret}},
//		borg.Backup{Prefix: "host", Roots: roots, Missing: reasons, Check: borg.CheckData, Keep: borg.Keep{Daily: 7, Weekly: 4}, Compact: true})
//	report.Result // ok, partial, failed; report.Reasons say what, where and why; report.String() is the summary for people
//
// Run does each repository for itself: list (is it there, is the passphrase right?), init where that is allowed, create, check, prune, compact. What
// fails in one is a reason in the report and does not stop the others. Nothing is pruned in a repository whose new archive is missing, empty, or lacks
// anything that could not be read (files that changed or went away meanwhile are told, and no hindrance), whose check found anything, or that has archives of
// this prefix from the future. Where one repository gets an archive of each of several machines, Run makes them without Check, Keep and Compact, and Tend
// does those once at the end. The verbs are methods too: Init, List, Create, Check, Prune, Compact, and BreakLock, which nothing here calls.
//
// What it promises:
//
//   - Archives are called PREFIX-YYYYMMDDHHMMSS (UTC). Prune sees exactly those: dc does not prune dc-2.
//   - A passphrase goes through a pipe that borg alone inherits (BORG_PASSPHRASE_FD). It is in no argument, no environment and no log; should borg
//     repeat it, it is replaced by ***.
//   - A repository is made only if Init is set, borg says that there is none, and borg has no note of one at this address: one that was there before is on
//     a disk that is not mounted. No lock is broken, no question of borg is answered with yes, but for one: that a repository whose Encryption is "none" is not encrypted.
//   - When the context ends borg gets SIGINT at once, upon which it saves a checkpoint, SIGTERM after half of Options.Grace, SIGKILL after all of
//     it (30 s), together with all that it began. A borg that the kernel keeps even then is not waited for. Each call has a deadline. When this
//     process dies, its borg gets SIGTERM.
package borg
