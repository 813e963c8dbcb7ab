package job

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tresor/orchestrator/job/internal/copier"
)

// stateError is a failure of the directory of the journal, which says nothing about the volume.
type stateError struct{ err error }

func (e *stateError) Error() string { return e.err.Error() }
func (e *stateError) Unwrap() error { return e.err }

// ofState marks an error of the journal's directory.
func ofState(err error) error {
	if err == nil {
		return nil
	}
	return &stateError{err}
}

// inState tells whether an error is one of the journal's directory.
func inState(err error) bool {
	var state *stateError
	var log *copier.LogError
	return errors.As(err, &state) || errors.As(err, &log)
}

func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// full tells whether an error says that the volume has no room: then old backups make some.
func full(err error) bool { return noRoom(err) && !inState(err) }

// briefError is an error with fewer words. What it wraps has all of them.
type briefError struct {
	text string
	err  error
}

func (e *briefError) Error() string { return e.text }
func (e *briefError) Unwrap() error { return e.err }

// maxText bounds what is kept of an error, in bytes: it stands in a line of a table.
const maxText = 600

// brief makes one line of an error. Each layer that an error has come through names the file once more; the first one will do.
func (w *worker) brief(err error) error {
	if err == nil || w.job.Backup == "" {
		return err
	}
	const name = "\x00" // instead of the backup's: that may have a colon, too
	var kept []string
	for line := range strings.SplitSeq(strings.ReplaceAll(err.Error(), w.job.Backup, name), "\n") {
		var parts []string
		for i, part := range strings.Split(line, ": ") {
			again := i > 0 && strings.Contains(part, name)
			if !again && (len(parts) == 0 || parts[len(parts)-1] != part) {
				parts = append(parts, part)
			}
		}
		kept = append(kept, strings.Join(parts, ": "))
	}
	text := strings.ReplaceAll(strings.Join(kept, "; "), name, w.job.Backup)
	switch {
	case full(err):
		text = "volume " + w.v.ID + " is full: " + text
	case noRoom(err):
		text = "the disk of " + w.opts.Dir + " is full: " + text
	}
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText/2], "") + " … " + strings.TrimLeftFunc(text[len(text)-maxText/2:], func(r rune) bool { return r == utf8.RuneError })
	}
	return &briefError{text, err}
}

// advice is what to do about a job that has failed for good.
func (w *worker) advice(j *Job, cause error) string {
	text := "Repair the cause"
	switch {
	case full(cause):
		text = "Old backups were pruned, and that was not enough. Keep fewer of them (retention), or take a larger disk (tresor switch)"
	case noRoom(cause):
		text = "Make room on the disk of " + w.opts.Dir
	case errors.Is(cause, errNotAsFilled):
		return "What lies on the buffer is not what was backed up: look at the buffer's disk. Give the job up (tresor jobs drop " + j.ID + ") and back " + j.Machine + " up again."
	case errors.Is(cause, fs.ErrExist):
		text = "Something else has the name of the backup on the volume: look at it and move it away"
	case errors.Is(cause, fs.ErrNotExist):
		text = "Look whether the source is where it was, and mounted"
	case errors.Is(cause, unix.EIO), errors.Is(cause, unix.EUCLEAN), errors.Is(cause, unix.EROFS):
		text = "Look at the disks and their cables, and into the kernel's log"
	}
	kept := "The next try reads " + j.Machine + " as it is then"
	if j.Buffer != "" {
		kept = "Its backup on the buffer was kept"
	}
	return fmt.Sprintf("%s. %s. Then let the job be tried again (tresor jobs retry %s), or give it up (tresor jobs drop %s).", text, kept, j.ID, j.ID)
}
