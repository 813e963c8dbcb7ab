// Package systemd owns what is said to the service manager: that we are ready, reload or stop, one line of status, and that we are alive. Without a
// manager every call does nothing. It promises that the watchdog is fed only while the main loop answers that it is alive.
//
//	m, err := systemd.Open(os.Getenv)               a Manager; also without NOTIFY_SOCKET
//	m.Ready(status) m.Reloading() m.Stopping() m.Status(text) m.Extend(d)
//	m.Watch(ctx, clock, alive, failed)              feeds the watchdog until ctx ends; alive returns nil or why not
//	systemd.Journal(os.Getenv, os.Stderr)           is this the journal's stream? Then lines need no time of their own
//	systemd.Formatter{Inner: …}                     logrus lines with the priority in front
package systemd
