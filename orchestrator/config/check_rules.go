package config

import (
	"path/filepath"
	"strings"
	"time"
)

// most is more than anybody keeps.
const most = 100000

func (k *checker) checkPaths() {
	p := &k.c.Paths
	places := []struct {
		key, path string
		optional  bool
	}{
		{"buffer", p.Buffer, true}, {"volume_mount", p.VolumeMount, false}, {"second_mount", p.SecondMount, false}, {"disks", p.Disks, false},
		{"state", p.State, false}, {"signals", p.Signals, true}, {"spool", p.Spool, true}, {"index", p.Index, false}, {"socket", p.Socket, false},
		{"temporary", p.Temporary, false},
	}
	seen := map[string]string{}
	for _, one := range places {
		at := join("paths", one.key)
		k.absolute(at, one.path, one.optional)
		k.unique(seen, at, one.path, "path")
		for _, mount := range []string{p.VolumeMount, p.SecondMount} {
			if one.path != mount && below(one.path, mount) && mount != "" {
				k.mistake(at, "%s lies in %s, where volumes are mounted", one.path, mount)
			}
		}
	}
	if len(p.Socket) > 107 {
		k.mistake("paths.socket", "want at most 107 bytes for a socket, found %d", len(p.Socket))
	}
	if s := p.VolumeSubdir; s == "" || strings.ContainsAny(s, "/\x00") || strings.HasPrefix(s, ".") {
		k.mistake("paths.volume_subdir", "want one name that does not begin with a dot, found %q", s)
	}
}

// below tells whether path is dir or in it.
func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func (k *checker) checkRules() {
	b := &k.c.Backup
	k.between("backup.direct_runs_before_async", b.DirectRuns, -1, 1000)
	k.between("backup.attempts", b.Attempts, 1, 100)
	k.timeBetween("backup.retry_after", b.RetryAfter, time.Second, 7*day)
	k.timeBetween("backup.overdue", b.Overdue, 0, 10000*day)
	k.timeBetween("backup.between_rounds", b.Between, time.Second, 30*day)
	k.timeBetween("backup.after_failure", b.AfterFailure, time.Second, 30*day)
	k.timeBetween("backup.volume_wait", b.VolumeWait, 0, 30*day)
	k.between("backup.fail_overs", b.FailOvers, -1, 1000)
	k.timeBetween("backup.fail_over_within", b.FailOverWithin, time.Minute, 30*day)
	k.timeBetween("backup.stalled", b.Stalled, 0, 365*day)
	if b.DirectRuns >= 0 && k.c.Paths.Buffer == "" && len(k.c.Servers) > 0 {
		k.mistake("paths.buffer", "a buffer is missing; backup.direct_runs_before_async = %d needs one (-1 does not)", b.DirectRuns)
	}
	t := &k.c.Timeout
	for key, d := range map[string]time.Duration{
		"step": t.Step, "mount": t.Mount, "index": t.Index, "drain": t.Drain, "idle": t.Idle, "unmount": t.Unmount, "alive": t.Alive,
	} {
		k.timeBetween(join("timeout", key), d, time.Second, 30*day)
	}
	if e := k.c.Buffer.EmergencyPercent; e != 0 {
		k.between("buffer.emergency_percent", e, 50, 100)
	}
	if r := k.c.Buffer.Reserve; r < 0 {
		k.mistake("buffer.reserve", "want 0 or more bytes, found %d", r)
	}
	if n := k.c.Buffer.FirstBackup; n < 0 {
		k.mistake("buffer.first_backup", "want 0 or more bytes, found %d", n)
	}
	k.timeBetween("buffer.wait_warn", k.c.Buffer.WaitWarn, 0, 30*day)
	k.timeBetween("buffer.wait_limit", k.c.Buffer.WaitLimit, 0, 30*day)
	if argv := k.c.Control.RebootCommand; len(argv) == 0 || argv[0] == "" {
		k.mistake("control.reboot_command", "want a program and its arguments, such as [\"systemctl\", \"reboot\"], found %q", argv)
	}
	r := &k.c.Retention
	k.keep("retention", r.all())
	if r.MinVersions > r.VolumeVersions {
		k.mistake("retention.min_versions", "want at most volume_versions (%d), found %d", r.VolumeVersions, r.MinVersions)
	}
	v := &k.c.Verify
	k.oneOf("verify.mode", v.Mode, VerifyFull, VerifyNew)
	k.between("verify.workers", v.Workers, 0, 1024)
	if v.TargetAsync {
		k.note("verify.target_async", "it is not used yet: the next copy begins when the last one is proved")
	}
	k.timeBetween("verify.scrub_max_age", v.ScrubMaxAge, 0, 10000*day)
	if v.Mode == VerifyNew && len(v.Scrub) == 0 {
		k.note("verify.mode", "%q relies on scrubs, and verify.scrub has no time for any: copies are read as in mode %q", v.Mode, VerifyFull)
	}
	k.timeBetween("verify.scrub_limit", v.ScrubLimit, 0, 365*day)
	k.timeBetween("verify.scrub_every", v.ScrubEvery, 0, 10000*day)
	k.timeBetween("verify.scrub_alert", v.ScrubAlert, 0, 10000*day)
	if v.ScrubAlert > 0 && v.ScrubEvery > v.ScrubAlert {
		k.mistake("verify.scrub_every", "want at most verify.scrub_alert, or people are told of what is as it was meant")
	}
	k.calendar("verify.scrub", v.Scrub)
}

// all is a Keep in which everything is set.
func (r *Retention) all() *Keep {
	return &Keep{
		BufferVersions: &r.BufferVersions, VolumeVersions: &r.VolumeVersions, FillMaxPercent: &r.FillMaxPercent, MinVersions: &r.MinVersions,
		UnverifiedMaxAgeDays: &r.UnverifiedMaxAgeDays, EvidenceDays: &r.EvidenceDays, Daily: &r.Daily, Weekly: &r.Weekly, Monthly: &r.Monthly, Yearly: &r.Yearly,
	}
}

func (k *checker) keep(at string, r *Keep) {
	if r == nil {
		return
	}
	for _, rule := range []struct {
		key       string
		n         *int
		low, high int
	}{
		{"buffer_versions", r.BufferVersions, 1, most}, {"volume_versions", r.VolumeVersions, 1, most}, {"fill_max_percent", r.FillMaxPercent, 10, 100},
		{"min_versions", r.MinVersions, 1, most}, {"unverified_max_age_days", r.UnverifiedMaxAgeDays, 0, most},
		{"evidence_days", r.EvidenceDays, 0, most},
		{"daily", r.Daily, 0, most}, {"weekly", r.Weekly, 0, most}, {"monthly", r.Monthly, 0, most}, {"yearly", r.Yearly, 0, most},
	} {
		if rule.n != nil {
			k.between(join(at, rule.key), *rule.n, rule.low, rule.high)
		}
	}
}

func (k *checker) checkSchedule() {
	s := &k.c.Schedule
	k.calendar("schedule.start", s.Start)
	k.calendar("schedule.switch", s.Switch)
	k.calendar("schedule.prune", s.Prune)
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" {
		k.mistake("schedule.time_zone", "want a name such as Europe/Berlin, UTC or Local, found %q", s.TimeZone)
	}
	if s.Continuous && !k.c.Backup.PauseAfterRound {
		k.mistake("schedule.continuous", "%s = false and this exclude each other: without a pause rounds follow each other anyway",
			k.place("backup.pause_after_round"))
	}
	if len(s.Start) == 0 && !s.Continuous && k.c.Backup.PauseAfterRound {
		k.note("schedule.start", "there is no time, so rounds begin only by `tresor run`")
	}
}

// Location is the time zone of the schedule.
func (c *Config) Location() *time.Location {
	if l, err := time.LoadLocation(c.Schedule.TimeZone); err == nil {
		return l
	}
	return time.Local // Load has looked at it already; somebody removed the zone since
}

func (k *checker) calendar(at string, list []string) {
	seen := map[string]string{}
	for i, e := range list {
		here := index(at, i)
		if strings.TrimSpace(e) == "" {
			k.mistake(here, "want a calendar expression such as \"20:00\" or \"Mon..Fri 18:30\", found %q", e)
		} else if k.out.Calendar != nil {
			if err := k.out.Calendar(e); err != nil {
				k.mistake(here, "%v", err)
			}
		}
		k.unique(seen, here, e, "expression")
	}
}

func (k *checker) checkLog() {
	l := &k.c.Log
	k.absolute("log.dir", l.Dir, true)
	k.oneOf("log.level", l.Level, "debug", "info", "warning", "error")
	k.between("log.keep_runs", l.KeepRuns, 0, 1000000)
	k.between("log.max_age_days", l.MaxAgeDays, 0, most)
	if l.MaxSize != 0 && l.MaxSize < 1<<20 {
		k.mistake("log.max_size", "want 0 or at least 1M, found %d bytes", l.MaxSize)
	}
}
