package job

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tresor/orchestrator/internal/mountpoint"
)

// Memory says which jobs that have ended are remembered.
type Memory struct {
	Since time.Time        // those that ended later
	Most  int              // and of them the newest ones; 0: all
	Need  func(j Job) bool // what somebody still has to take notice of, whatever its age; nil: nothing
}

// longAway is how much longer a job is remembered that has left something on a volume which did not come back.
const longAway = 365 * 24 * time.Hour

// Forget deletes the records of ended jobs, and the evidence of their copies that differed. It keeps, whatever m says, those whose source is not
// released yet: a job that has failed as long as its backup lies on the buffer, or may do so, since nobody else knows why it does.
func (q *Queue) Forget(m Memory) error {
	q.commit.Lock()
	defer q.commit.Unlock()
	list := slices.DeleteFunc(q.List(), func(j Job) bool { return !j.State.Ended() })
	slices.SortStableFunc(list, func(a, b Job) int { return b.Ended.Compare(a.Ended) })
	for n, j := range list {
		old := j.Ended.Before(m.Since) || m.Most > 0 && n >= m.Most
		if !old || m.Need != nil && m.Need(j) || len(j.Leftovers) > 0 && !j.Ended.Before(m.Since.Add(-longAway)) {
			continue
		}
		over, err := j.over()
		if err == nil && over {
			err = q.forgetLocked(j.ID)
		}
		if err != nil {
			return fmt.Errorf("forget job %s (%s): %w", j.ID, j.Backup, err)
		}
	}
	return nil
}

// over tells whether nobody has to do anything more about an ended job.
func (j *Job) over() (bool, error) {
	if j.State == Published || j.Dropped != "" || j.Buffer == "" {
		return j.Released || j.State == Failed && j.Dropped == "", nil
	}
	if !isInUse(filepath.Dir(j.Buffer)) {
		return false, nil // the buffer is not there: nobody knows
	}
	_, err := os.Lstat(j.Buffer)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// isInUse tells whether the folder of a buffer can say what is not there any more. An empty one, or one with the mark of a bare mount point, may be that of a
// disk which is not mounted; a buffer that nobody uses again remembers its last jobs.
func isInUse(folder string) bool {
	dir, err := os.Open(folder)
	if err != nil {
		return false
	}
	defer dir.Close() // it is read only
	names, err := dir.Readdirnames(-1)
	return err == nil && len(names) > 0 && !slices.Contains(names, mountpoint.Mark)
}

// forgetLocked deletes a record, and its evidence before it. q.commit is held.
func (q *Queue) forgetLocked(id string) error {
	evidence, err := filepath.Glob(filepath.Join(q.opts.Evidence, id+"-*.json"))
	for _, name := range evidence {
		err = errors.Join(err, removeFile(name))
	}
	if err == nil {
		err = q.journal.Delete(id)
	}
	if err != nil {
		return ofState(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.jobs, id)
	return nil
}
