// Package signal owns the folder of the predecessor's signal files, a front end for scripts that were written for it: the presence of a file is the
// signal. It watches the folder by inotify and once a second, tells a Handler what has changed, and sets and removes files on behalf of our own
// service. It promises that a signal is told once for each time that it appears, that a file that is no regular file is never a signal, is never opened
// and never followed, and that what is in a file reaches nobody but as one short printable line.
//
//	f, err := signal.Open(signal.Options{Dir: dir})
//	go f.Run(ctx, handler)                handler.Signal(Event) and handler.Trouble(error), one call at a time
//	f.Active(signal.Wait)                 as of the last look; f.Get(signal.SkipCRC) with its text
//	f.Set(signal.SoftSwitch, text)        f.Remove(signal.Wait)
//	f.Consume(signal.Switch)              acknowledges a one-shot signal: it is renamed, then removed
//	f.Promote()                           softswitch becomes switch, in one step
//	l, err := f.Lease("cloner", ttl)      waita for as long as anybody holds a lease; l.Renew() l.Release()
//
// # One-shot signals
//
// switch, softswitch, reload and crcstopS are asked once. The file stays until Consume, as with the predecessor, so that a script which waits for it to
// vanish sees the end of what it asked for, and one that is removed before is a request that was taken back (Event with Active false, which is not told for what we consume or promote ourselves). Consume before
// acting where a later request must not be lost (reload, crcstopS); consume after acting where requests in between are the same one (switch).
// After a crash a file that was not consumed is told again.
//
// # Level signals
//
// wait, waita, stop, astop, skipcrc, noskipcrc, donotswitch, donotcheck and noautostart hold while the file is there. While the folder cannot be read, what
// was known last holds. stop stays, as before: it blocks the next start until somebody removes it.
//
// # waita
//
// Copies pause while the file is there or a lease is held. While a lease is held we keep the file for scripts, and a script that removes
// it does not end the leases of others. The file of a process of ours that was killed is removed at the next Open; one that somebody else
// wrote is not, whatever ends here.
package signal
