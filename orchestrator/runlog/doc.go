// Package runlog owns the logs of runs, one file of JSON lines for each, what is read from them, and small files of counters for each machine. It promises
// that a line is in the file when the call that logged it returns, that a run in use is never collected, and that no secret which was handed in
// is written.
//
//	secrets := runlog.NewRedactor(); secrets.Add(password)
//	logs, err := runlog.Open(runlog.Options{Dir: dir, Clock: clock, Secrets: secrets})
//	logger.AddHook(secrets); logger.AddHook(logs)            in this order: terminal, journal and file get the same line
//	run, err := logs.Begin(id, "backup of all machines")     id is a ULID
//	logger.WithField(runlog.Field, id).Info("…")             goes to the run's file as well
//	run.End(runlog.OK)
//	logs.List()  logs.Find(prefix)  logs.Read(ctx, id, follow, fn)  logs.WriteText(ctx, id, w)  logs.Collect(limits, needed)
//	c := runlog.NewCounters(dir); c.Add(machine, sample); c.Change(machine, backup, fn); c.Get(machine)
//
// # Files
//
// <ULID>.jsonl holds one object per line: time, level, msg and fields. Each line is one write. A crash may tear the last one: a reader hands it on as
// what it is (Line.Torn), and a run that goes on after it begins a new line. Lines of level error and the end of a run are synced to the disk. A run
// in use holds a lock of the kernel on its file, so that other processes know; it is gone when we die.
package runlog
