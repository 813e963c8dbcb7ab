package tresor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"tresor/cmd/internal/cli"
	"tresor/orchestrator"
	"tresor/orchestrator/service"
)

// begun is what a service leaves for the next one.
type begun struct {
	Version string    `json:"version"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended,omitzero"` // in order; zero: it was killed, or goes on
}

func (a *app) begunFile() string {
	return filepath.Join(a.config().Paths.State, "service", "begun.json")
}

// last is what the last service left; nil: there was none, or nobody knows.
func (a *app) last() *begun {
	text, err := os.ReadFile(a.begunFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b := &begun{}
	if err == nil {
		err = json.Unmarshal(text, b)
	}
	if err != nil {
		a.logger.Warn(err)
		return nil
	}
	return b
}

func (a *app) leave(b begun) {
	text, err := json.Marshal(b)
	if err == nil {
		err = writePrivate(a.begunFile(), text)
	}
	if err != nil {
		a.logger.Warn(err)
	}
}

// starting is a service that has been started.
type starting interface {
	State() service.State
	InUse() service.Volume
	Trouble() string
}

// leftAlone is why nobody mounts a volume; empty: somebody will.
func leftAlone(st service.State) string {
	for owner, l := range st.Leases {
		if l.Unmounted {
			return fmt.Sprintf("paused by %s: %s", owner, l.Reason)
		}
	}
	return ""
}

// tellStarted tells that the service has started, what it goes on with, and how the last one ended. It waits for the volume, which is told, too.
func (a *app) tellStarted(ctx context.Context, s starting, last *begun) {
	volume, trouble := "", ""
	for ctx.Err() == nil {
		volume, trouble = s.InUse().Name, s.Trouble()
		if volume == "" && trouble == "" {
			trouble = leftAlone(s.State())
		}
		if volume != "" || trouble != "" {
			break
		}
		_ = a.clock.Sleep(ctx, time.Second) // its only error is the end of ctx
	}
	if ctx.Err() != nil {
		return // it ends before it has really started
	}
	if err := a.tell.Notify(startEvent(s.State(), volume, trouble, last)); err != nil {
		a.logger.Error(err)
	}
}

// startEvent is what is told. last is what the last service left.
func startEvent(st service.State, volume, trouble string, last *begun) orchestrator.Event {
	e := orchestrator.Event{Severity: orchestrator.Info, Kind: orchestrator.Started, Volume: volume, Subject: "service started"}
	lines := []string{"Version " + builtFrom() + "."}
	switch {
	case last == nil:
	case last.Ended.IsZero():
		e.Severity = orchestrator.Warning
		e.Subject += ", the last one did not end in order"
		e.Advice = "Nothing is lost by that: what was begun goes on, and a volume that was not closed is checked. Look for the cause (`journalctl -u tresor`, the log of the kernel): " +
			"a power cut, a kill, no memory left."
		lines = append(lines, "The last one was started at "+last.Begun.Format(time.RFC3339)+" and was killed, or the machine went off.")
	default:
		lines = append(lines, "The last one ended in order at "+last.Ended.Format(time.RFC3339)+".")
	}
	if last != nil && last.Version != builtFrom() {
		e.Subject += ", updated"
		lines = append(lines, "The last one was of version "+last.Version+".")
	}
	if volume != "" {
		lines = append(lines, "Volume "+volume+" is in use.")
	} else {
		lines = append(lines, "No volume is in use: "+trouble)
	}
	if r := st.Round; r != nil {
		lines = append(lines, fmt.Sprintf("The round %s of %s goes on.", r.ID, r.Begun.Format(time.RFC3339)))
	}
	e.Body = strings.Join(lines, "\n")
	return e
}

// tellNotStarted tells that the service could not start, and waits a while for the message to go out.
func (a *app) tellNotStarted(ctx context.Context, cause error) {
	if a == nil || a.tell == nil {
		return
	}
	advice := cli.HintOf(cause)
	if advice != "" {
		advice += ". "
	}
	err := a.tell.Notify(orchestrator.Event{Severity: orchestrator.Failure, Kind: orchestrator.Started, Subject: "the service could not start", Body: cause.Error(),
		Advice: advice + "Put the cause right, then start it again (systemctl start tresor). Until then nothing is backed up."})
	if err != nil {
		a.logger.Error(err)
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	if err := a.tell.flush(flush); err != nil {
		a.logger.Warnf("messages wait for the next start: %v", err)
	}
}

// builtFrom is the version and the revision of this program.
func builtFrom() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(version, s.Value[:min(12, len(s.Value))]) {
			version += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return strings.TrimSpace(version)
}
