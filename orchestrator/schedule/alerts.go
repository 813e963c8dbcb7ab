package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Watch is something that has to happen again and again: a good backup of a machine, a scrub of a volume, a sign of life of what is being done.
type Watch struct {
	Kind    string // of the event: orchestrator.Overdue, ScrubOverdue or Stalled
	Machine string // with the volume and the kind it says which incident it is
	Volume  string
	Limit   time.Duration // the longest time without it; 0: none
	Last    time.Time     // when it happened last; zero: never
	Since   time.Time     // from when on it is expected, if it never happened; zero: since it is watched
	Key     string        // of the configuration that has the limit, for the message
	Detail  string        // what is known of why it does not happen, for the message; may be empty
}

func (w Watch) key() string { return w.Kind + "\n" + w.Machine + "\n" + w.Volume }

// ahead is how far a clock may be ahead of ours before its times are not believed.
const ahead = time.Hour

// unknown: the time of the last one lies in the future, so that nobody knows when it was.
func (w Watch) unknown(now time.Time) bool { return w.Last.Sub(now) > ahead }

// from is the begin of the time that is too long or not. begun is when it was first watched.
func (w Watch) from(now, begun time.Time) time.Time {
	for _, t := range []time.Time{w.Last, w.Since, begun} {
		if !t.IsZero() && t.Sub(now) <= ahead {
			return t
		}
	}
	return now
}

// Alerts are the incidents that people were told of, in a file, so that each is told once, whatever is started anew. It is not safe for concurrent use.
type Alerts struct {
	file  string
	state alertState
}

type alertState struct {
	Watched   map[string]time.Time `json:"watched"`   // since when, by the key of the watch
	Incidents map[string]incident  `json:"incidents"` // that go on
}

type incident struct {
	From time.Time `json:"from"` // since when it is missing
	Told time.Time `json:"told"`
}

// maxAlerts bounds the file in bytes.
const maxAlerts = 64 << 20

// OpenAlerts reads the file, which need not be there. One that cannot be read is put aside as .broken, and the error says so: what goes on is told once more then.
func OpenAlerts(file string) (*Alerts, error) {
	a := &Alerts{file: file}
	text, err := a.read()
	if err == nil {
		err = json.Unmarshal(text, &a.state)
	}
	if a.state.Watched == nil {
		a.state.Watched = map[string]time.Time{}
	}
	if a.state.Incidents == nil {
		a.state.Incidents = map[string]incident{}
	}
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return a, nil
	}
	return a, errors.Join(fmt.Errorf("alerts that were told, %s: %w", file, err), os.Rename(file, file+".broken"))
}

func (a *Alerts) read() ([]byte, error) {
	root, err := os.OpenRoot(filepath.Dir(a.file))
	if err != nil {
		return nil, err
	}
	text, err := statefile.Read(root, filepath.Base(a.file), maxAlerts)
	return text, errors.Join(err, root.Close())
}

// Tell tells what has become too long, once for each incident, and what has come to its end. What is not watched any more is forgotten without a word. What
// notify does not take is told at the next call; what was told and cannot be noted is told twice after a restart.
func (a *Alerts) Tell(now time.Time, list []Watch, notify func(orchestrator.Event) error) error {
	next := alertState{map[string]time.Time{}, map[string]incident{}}
	var errs []error
	for _, w := range list {
		key := w.key()
		begun, known := a.state.Watched[key]
		if !known || begun.Sub(now) > ahead {
			begun = now.UTC()
		}
		next.Watched[key] = begun
		from := w.from(now, begun)
		late := w.Limit > 0 && (w.unknown(now) || now.Sub(from) > w.Limit)
		old, told := a.state.Incidents[key]
		switch {
		case late && told:
			next.Incidents[key] = old
		case late:
			if err := notify(w.failure(now, from)); err != nil {
				errs = append(errs, err)
				continue
			}
			next.Incidents[key] = incident{from.UTC(), now.UTC()}
		case told && w.Limit > 0:
			if err := notify(w.recovery(now, old)); err != nil {
				errs = append(errs, err)
				next.Incidents[key] = old
			}
		}
	}
	changed := !maps.Equal(a.state.Watched, next.Watched) || !reflect.DeepEqual(a.state.Incidents, next.Incidents)
	a.state = next
	if changed {
		errs = append(errs, a.save())
	}
	return errors.Join(errs...)
}

func (a *Alerts) save() error {
	text, err := json.MarshalIndent(a.state, "", "  ")
	if err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	root, err := os.OpenRoot(filepath.Dir(a.file))
	if err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	err = statefile.ReplaceBytes(root, filepath.Base(a.file), 0o640, append(text, '\n'))
	if err = errors.Join(err, root.Close()); err != nil {
		return fmt.Errorf("alerts in %s: %w", a.file, err)
	}
	return nil
}
