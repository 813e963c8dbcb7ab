package job

import (
	"slices"
	"strings"
	"time"
)

// inOrder sorts jobs by the time of their backups.
func inOrder(jobs []Job) {
	slices.SortFunc(jobs, func(a, b Job) int {
		if c := a.Begun.Compare(b.Begun); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Due is when the job may be tried again. A clock that was set back lets it wait for twice as long as was meant at most.
func (j *Job) Due(now time.Time) time.Time {
	if j.NotBefore.Sub(now) > 2*j.NotBefore.Sub(j.Changed) {
		return time.Time{}
	}
	return j.NotBefore
}

// ready returns the jobs that a volume could take now, in the order in which they are to be worked off, and when the next one is due that is not among
// them (zero: nothing is waited for but events). jobs are in order. A job waits for all earlier ones of its machine, whatever they wait for.
func ready(jobs []Job, volume string, now time.Time) (list []Job, next time.Time) {
	waits := map[string]bool{}
	for _, j := range jobs {
		if j.State.Ended() || waits[j.Machine] {
			continue
		}
		waits[j.Machine] = true
		due := j.Due(now)
		for _, l := range j.Leases {
			if l.Until.After(due) {
				due = l.Until
			}
		}
		switch {
		case j.Running || !j.takes(volume):
		case due.After(now):
			if next.IsZero() || due.Before(next) {
				next = due
			}
		default:
			list = append(list, j)
		}
	}
	return list, next
}
