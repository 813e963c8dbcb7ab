// Package notify owns what people are told, and that they are told: a queue on the disk, and workers that bring what is in it to mail addresses, webhooks
// and dead-man switches. It promises that an event is on the disk when Notify returns and that Notify does nothing but one file write; that each event
// reaches each channel at least once or is reported as given up, after Options.MaxAge or when more than Options.Limit wait; and that a mail which is sent again after a crash has
// the same Message-ID. An event that the disk does not take is told from memory.
//
//	mail := notify.Mail{Host: …, Port: 587, Security: notify.StartTLS, From: …, To: …}
//	err := mail.Check()                                          before it is used
//	n, err := notify.Open(notify.Options{Dir: dir, Host: host, Channels: append(mail.Channels(), hook, ping)})
//	go n.Run(ctx)                                                until ctx ends
//	n.Notify(event)                                              an orchestrator.Notifier
//	n.Notify(orchestrator.Event{Kind: notify.RunStarted, …})     only dead-man switches want it
//	n.Flush(ctx)                                                 waits until nothing is left, before an orderly end
//	n.Pending()                                                  for the status page
//	mail.Test(ctx, host)                                         `tresor mail test`: at once, past the queue, one result for each address
//
// # Queue
//
// NUMBER-ULID.json is one event with the names of the channels that have not got it yet; it is replaced as a whole (temporary name, sync, rename, sync of the
// directory) and removed when no channel is left. What is given up goes to failed/, the newest hundred are kept. A channel gets its events in order;
// one that the other side refuses for good (SMTP 5xx, HTTP 4xx) does not hold up the next, nor does one that it does not take in three tries (LaterError).
// Waits double from Options.First to Options.Longest and are spread by a random factor. A message whose addresses are all gone from the configuration
// goes to those that are there now.
//
// Equal events (kind, severity, machine, volume, subject) that nobody has got yet become one with a count. Of equal events one is told within
// Options.Quiet, the others wait together until it is over; if it goes on, twice that, and so on up to four hours. The file quiet keeps that over
// restarts. Ends of runs, reports of switches and test mails are never put together.
//
// # Logs
//
// The log of the run goes with a mail: as it is, packed, or its end where it is longer than Mail.AttachMax. A server that refuses the content of a mail, or
// breaks off in it, gets it again with the end of the log, and then without it.
package notify
