package tresor

import (
	"fmt"
	"path/filepath"
	"strings"

	"tresor/orchestrator/config"
	"tresor/orchestrator/job"
	"tresor/orchestrator/signal"
)

// skips are the signals that say whether copies are verified. Both zero: the configuration decides alone.
type skips struct {
	all  bool // skipcrc
	none bool // noskipcrc
}

// set takes a change of a signal. A skipcrc with NFS in its text was left by a mount of the predecessor: the kind of the volume says that here.
func (s *skips) set(e signal.Event) {
	switch e.Name {
	case signal.SkipCRC:
		s.all = e.Active && !strings.Contains(e.Text, "NFS")
	case signal.NoSkipCRC:
		s.none = e.Active
	}
}

// reason is why copies of a machine are not verified on a volume; empty: they are. The first of these decides: skip_verify = true of the machine, a skipcrc
// that a person has set, skip_verify of the volume. Without any, those on NFS are not, unless there is a noskipcrc, as a signal or in the volume's folder of
// backups, which marked tells.
func (s skips) reason(c *config.Config, machine string, v *config.Volume, marked func() bool) string {
	for _, m := range c.Machines() {
		if m.Name == machine && m.SkipVerify {
			return fmt.Sprintf("skip_verify of the machine %s", machine)
		}
	}
	switch {
	case s.all:
		return "the signal skipcrc"
	case v == nil || !v.SkipsVerify():
		return ""
	case v.SkipVerify != nil:
		return fmt.Sprintf("skip_verify of the volume %s", v.Name)
	case s.none || marked():
		return ""
	}
	return fmt.Sprintf("the volume %s lies on NFS", v.Name)
}

// skipVerify is asked by the queue when a copy is about to be verified.
func (a *app) skipVerify(j job.Job, v job.Volume) string {
	a.mu.Lock()
	c, s := a.cfg, a.skips
	a.mu.Unlock()
	return s.reason(c, j.Machine, c.Volume(a.volumeName(v.ID)), func() bool {
		there, err := signal.Present(filepath.Join(v.Store.Root(), v.Folder), signal.NoSkipCRC)
		if err != nil { // nobody knows what is wanted: it is verified
			a.logger.Warn(err)
		}
		return there || err != nil
	})
}
