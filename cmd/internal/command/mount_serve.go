package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"tresor/cmd/internal/cli"
	"tresor/cmd/internal/mounted"
	"tresor/fs"
	"tresor/index"
)

// unmountRetry is how often a daemon that was told to end tries again to unmount what somebody still uses.
const unmountRetry = time.Second

// daemon serves a mount on behalf of the waiting process (serveMount, then the end of the process).
func (m *mount) daemon(ctx context.Context, o fs.Options) error {
	pipe := os.NewFile(uintptr(m.statusFD), "status pipe")
	if pipe == nil {
		return arguments("--%s %d is no descriptor", statusFlag, m.statusFD)
	}
	unix.CloseOnExec(m.statusFD)
	d := &daemon{pipe: pipe}
	log := logrus.New()
	log.SetOutput(io.Discard) // the volume has its own log
	log.AddHook(d)
	err := m.serve(ctx, o, log, d)
	if err == nil {
		return nil
	}
	if d.tell(status{State: stateFailed, Text: err.Error(), Hint: cli.HintOf(err), Code: cli.CodeOf(err)}) {
		return cli.Exit(cli.CodeOf(err), nil) // the waiting process prints it
	}
	log.WithError(err).Error("volume could not be closed cleanly")
	return cli.Exit(cli.CodeOf(err), nil)
}

// daemon is the daemon's end of the status pipe. It is a log hook too, so that what is logged during a long repair is
// seen in the terminal that waits.
type daemon struct {
	mu   sync.Mutex // guards pipe; the pipe is written under it; the logger's own lock may be held
	pipe *os.File   // nil after the verdict
}

// tell sends one message; a verdict closes the pipe. It tells whether anybody could have heard it.
func (d *daemon) tell(s status) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pipe == nil {
		return false
	}
	err := json.NewEncoder(d.pipe).Encode(s)
	if s.State == stateReady || s.State == stateFailed {
		err = errors.Join(err, d.pipe.Close())
		d.pipe = nil
	}
	return err == nil
}

// Levels makes daemon a log hook.
func (d *daemon) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel, logrus.InfoLevel}
}

// Fire passes a log entry on while somebody waits.
func (d *daemon) Fire(e *logrus.Entry) error {
	state := stateProgress
	if e.Level <= logrus.WarnLevel {
		state = stateWarning
	}
	text := e.Message
	if err, ok := e.Data[logrus.ErrorKey].(error); ok {
		text = fmt.Sprintf("%s: %v", text, err)
	}
	d.tell(status{State: state, Text: text})
	return nil
}

// ready lets go of the terminal and the working directory, then releases the waiting process.
func (d *daemon) ready() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := 0; fd <= 2; fd++ {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("detach descriptor %d: %w", fd, err)
		}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	d.tell(status{State: stateReady})
	return nil
}

// serveMount mounts, serves until the volume is unmounted by whomever, and returns when it is closed. A signal unmounts
// it; while somebody uses it that is tried again. d is nil in the foreground.
//
// It sets the process's umask to 0: modes come from the callers of the file system, whose own umask the kernel applied.
func serveMount(ctx context.Context, o fs.Options, log *logrus.Logger, d *daemon) error {
	// The context ends at the first signal, and the second one would kill the process. Here a second one is nothing new.
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(again)
	unix.Umask(0)
	if os.Getenv("GOGC") == "" {
		// What is in use is buffers, which cost the collector nothing to look at, and there are tens of MiB of them: the runtime's 100 would let as much garbage gather beside them.
		debug.SetGCPercent(25)
	}
	served, err := fs.Mount(ctx, o, log)
	if err != nil {
		return damagedHint(explainBusy(err, o.Parent), o.Parent)
	}
	if d != nil {
		err = errors.Join(keepCrash(served), d.ready())
	} else {
		log.Infof("volume %s is mounted on %s", o.Parent, o.MountPoint)
	}
	if err != nil {
		return errors.Join(err, served.Unmount(), served.Wait())
	}
	ended := make(chan error, 1)
	go func() { ended <- served.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		log.Infof("unmount %s: %v", o.MountPoint, context.Cause(ctx))
	}
	return unmountUntil(ended, served, o.MountPoint, log)
}

// keepCrash makes the runtime write what it says of a crash to a file, since the daemon has no terminal any more. A volume
// that must not be written to has none.
func keepCrash(served *fs.Mounted) error {
	f, err := served.OpenCrashLog()
	if f == nil || err != nil {
		return err
	}
	defer f.Close()
	return debug.SetCrashOutput(f, debug.CrashOptions{})
}

// unmountUntil takes the mount away as soon as nobody uses it, and returns how the volume was closed.
func unmountUntil(ended <-chan error, served *fs.Mounted, point string, log *logrus.Logger) error {
	retry := time.NewTicker(unmountRetry)
	defer retry.Stop()
	for said := false; ; {
		err := served.Unmount()
		if err == nil {
			return <-ended
		}
		if !said {
			said = true
			log.WithError(err).Warnf("%s is unmounted when nobody uses it any more%s", point, heldBy(point))
		}
		select {
		case err := <-ended:
			return err
		case <-retry.C:
		}
	}
}

func heldBy(point string) string {
	list, err := index.Mounts()
	if err != nil {
		return ""
	}
	if m := mounted.At(list, point); m != nil {
		if by := mounted.Holders(m); len(by) > 0 {
			return ": it is held by " + strings.Join(by[:min(len(by), mounted.MaxHolders)], ", ")
		}
	}
	return ""
}
