package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"tresor/orchestrator"
	"tresor/orchestrator/internal/statefile"
)

// Message is an event on its way.
type Message struct {
	Number   uint64             `json:"number"` // its place in the order
	ID       string             `json:"id"`     // a ULID, the left side of the Message-ID
	Host     string             `json:"host"`
	Event    orchestrator.Event `json:"event"`
	Count    int                `json:"count"` // equal events that are in it
	First    time.Time          `json:"first"` // when the first of them was, or was handed in
	Queued   time.Time          `json:"queued"`
	After    time.Time          `json:"after,omitzero"` // not to be told before
	Channels []string           `json:"channels"`       // that have not got it yet
	Attempts int                `json:"attempts"`       // of all channels, without those that succeeded
	Problem  string             `json:"problem,omitempty"`
	// Told: a channel has got it. A new event that is equal does not join it any more: that channel would never hear of it.
	Told bool `json:"told,omitempty"`

	busy    int  // channels that are sending it now: it cannot change
	written bool // it has a file in the queue
}

// equal tells whether two events are to be put together.
func equal(a, b orchestrator.Event) bool {
	return a.Kind == b.Kind && a.Severity == b.Severity && a.Machine == b.Machine && a.Volume == b.Volume && a.Subject == b.Subject
}

// single are kinds of which each one is told.
func single(kind string) bool {
	return slices.Contains([]string{orchestrator.RunEnded, orchestrator.SwitchEnded, orchestrator.TestMail, RunStarted}, kind)
}

// queue is the directory, or without one the memory alone. Its user keeps calls apart.
type queue struct {
	dir  string
	root *os.Root // nil: in memory only
	lock *os.File
	list []*Message // by number
	next uint64
}

const (
	suffix    = ".json"
	failedDir = "failed"
	keepOld   = 100 // messages that were given up
)

// openQueue reads what is there. A file that cannot be decoded goes to failed/, and damaged says so.
func openQueue(dir string) (q *queue, damaged error, err error) {
	if dir == "" {
		return &queue{}, nil, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, failedDir), 0o700); err != nil {
		return nil, nil, fmt.Errorf("open queue of messages: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open queue of messages: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open queue of messages %s: another process has it: %w", dir, err), lock.Close())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open queue of messages: %w", err), lock.Close())
	}
	q = &queue{dir: dir, root: root, lock: lock}
	damaged, err = q.load()
	if err != nil {
		return nil, nil, errors.Join(err, q.close())
	}
	return q, damaged, nil
}

func (q *queue) load() (damaged, err error) {
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return nil, fmt.Errorf("open queue of messages: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(q.dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), ".tmp") { // a crash came before the rename: nobody was told that it is kept
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("open queue of messages: %w", err)
			}
			continue
		}
		if !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue
		}
		m, err := readMessage(path)
		if err != nil {
			damaged = errors.Join(damaged, err, os.Rename(path, filepath.Join(q.dir, failedDir, e.Name())))
			continue
		}
		m.written = true
		q.list = append(q.list, m)
		q.next = max(q.next, m.Number+1)
	}
	slices.SortFunc(q.list, func(a, b *Message) int { return strings.Compare(a.name(), b.name()) })
	return damaged, nil
}

func readMessage(path string) (*Message, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("queued message: %w", err)
	}
	m := &Message{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("queued message %s: %w", path, err)
	}
	if have := filepath.Base(path); m.name() != have {
		return nil, fmt.Errorf("queued message %s: by what is in it, it is %s", path, m.name())
	}
	if len(m.Channels) == 0 {
		return nil, fmt.Errorf("queued message %s: it is for nobody", path)
	}
	return m, nil
}

// name of the file: the numbers sort as texts.
func (m *Message) name() string {
	number := strconv.FormatUint(m.Number, 10)
	return strings.Repeat("0", max(0, 16-len(number))) + number + "-" + m.ID + suffix
}

// write makes a message durable: it is whole or not there.
func (q *queue) write(m *Message) error {
	if q.root == nil {
		return nil
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("keep message: %w", err)
	}
	if err := statefile.ReplaceBytes(q.root, m.name(), 0o600, text); err != nil {
		return fmt.Errorf("keep message in %s: %w", q.dir, err)
	}
	m.written = true
	return nil
}

// add appends a new message. After an error it is in memory only: a full disk is what people have to hear of.
func (q *queue) add(m *Message) error {
	m.Number = q.next
	q.next++
	q.list = append(q.list, m)
	return q.write(m)
}

// remove takes a message out that every channel has got.
func (q *queue) remove(m *Message) error {
	q.forget(m)
	if q.root == nil {
		return nil
	}
	if err := statefile.Remove(q.root, m.name()); err != nil {
		return fmt.Errorf("queued message in %s: %w", q.dir, err)
	}
	return nil
}

// give moves a message to failed/, where the newest are kept.
func (q *queue) give(m *Message) error {
	q.forget(m)
	if q.root == nil {
		return nil
	}
	old := filepath.Join(q.dir, failedDir)
	if err := os.Rename(filepath.Join(q.dir, m.name()), filepath.Join(old, m.name())); err != nil {
		return fmt.Errorf("give message up: %w", err)
	}
	entries, err := os.ReadDir(old)
	if err != nil {
		return fmt.Errorf("give message up: %w", err)
	}
	// By the time in the id: numbers begin anew when the queue has been empty.
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(idOf(a.Name()), idOf(b.Name())) })
	for _, e := range entries[:max(0, len(entries)-keepOld)] {
		if err := os.Remove(filepath.Join(old, e.Name())); err != nil {
			return fmt.Errorf("give message up: %w", err)
		}
	}
	if err := statefile.Sync(q.root, "."); err != nil {
		return fmt.Errorf("give message up: %w", err)
	}
	return nil
}

func (q *queue) forget(m *Message) {
	q.list = slices.DeleteFunc(q.list, func(o *Message) bool { return o == m })
}

// idOf is the part of a file's name behind the number.
func idOf(name string) string {
	_, id, _ := strings.Cut(name, "-")
	return id
}

func (q *queue) close() error {
	if q.root == nil {
		return nil
	}
	return errors.Join(q.root.Close(), q.lock.Close())
}

// newID draws a ULID.
func (n *Notifier) newID(now time.Time) (string, error) {
	id, err := ulid.New(ulid.Timestamp(now), n.options.Entropy)
	if err != nil {
		return "", fmt.Errorf("id of a message: %w", err)
	}
	return id.String(), nil
}
