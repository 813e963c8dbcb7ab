package socket

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"tresor/index/format"
)

const (
	// maxRequest and maxAnswer bound a line in bytes.
	maxRequest = 64 << 10
	maxAnswer  = 16 << 20
	// maxConnections is how many are served at once.
	maxConnections = 16
	// confirmation is what a client may send once after its request.
	confirmation = '\n'
)

// times of the protocol; tests have shorter ones.
type times struct {
	request time.Duration // for the client to send its request
	write   time.Duration // for a message to be taken
	every   time.Duration // between two messages of progress
	alive   time.Duration // after which something is sent in any case
	silence time.Duration // after which a client gives up
}

func defaultTimes() times {
	return times{request: 10 * time.Second, write: 10 * time.Second, every: 500 * time.Millisecond, alive: 5 * time.Second, silence: time.Minute}
}

// Request is what an operation gets.
type Request struct {
	// Args is the JSON that the client sent, nil if none.
	Args json.RawMessage
	// Progress sends a value to the client, not more often than it can take: of several the last one counts. It never blocks and may be called
	// from any goroutine until the operation returns.
	Progress func(v any)
	// Confirmed is closed when the client has said that everything is there that it had to send (CallConfirmed). Whoever waits for it
	// waits for the end of the context as well.
	Confirmed <-chan struct{}

	file *Descriptor // that the client sent along; nil: none, or taken
}

// Descriptor takes the open file that the client sent along; nil if there is none. It is the caller's from then on.
func (r *Request) Descriptor() *Descriptor {
	d := r.file
	r.file = nil
	return d
}

// close lets go of a descriptor that nobody took.
func (r *Request) close() {
	if d := r.Descriptor(); d != nil {
		d.Drop()
	}
}

// Decode reads the arguments into v. Unknown ones are refused, so that a newer client is not misunderstood, and so is a descriptor that was
// not taken before.
func (r *Request) Decode(v any) error {
	if r.file != nil {
		return format.Mark(format.ErrUnsupported, errors.New("this operation takes no descriptor"))
	}
	if len(r.Args) == 0 {
		return nil
	}
	if err := decodeStrict(r.Args, v); err != nil {
		return format.Mark(format.ErrUnsupported, err)
	}
	return nil
}

// Operation answers a request with a value that becomes JSON. ctx ends when the client goes away or the server is closed.
type Operation func(ctx context.Context, r *Request) (result any, err error)

// Operations by name.
type Operations map[string]Operation

// question is what a client sends.
type question struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// answer is one line of a server; exactly one field is set. An error may come with the result as far as there is one.
type answer struct {
	Alive    bool            `json:"alive,omitempty"`
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *failure        `json:"error,omitempty"`
}

// failure is an error on the wire: its text, and its class, from which the client takes its exit code.
type failure struct {
	Text  string `json:"text"`
	Class string `json:"class,omitempty"`
}

// class is a kind of error that both sides know by the same name.
type class struct {
	name string
	err  error
}

func classes() []class {
	return []class{
		{"interrupted", context.Canceled}, {"busy", format.ErrBusy}, {"corrupt", format.ErrCorrupt}, {"no_space", format.ErrNoSpace},
		{"read_only", format.ErrReadOnly}, {"unsupported", format.ErrUnsupported}, {"io", format.ErrIO}, {"not_there", fs.ErrNotExist},
	}
}

func newFailure(err error) *failure {
	f := &failure{Text: err.Error()}
	for _, c := range classes() {
		if errors.Is(err, c.err) {
			f.Class = c.name
			break
		}
	}
	return f
}

// RemoteError is an error of the serving process. It matches the class that the error had there.
type RemoteError struct {
	Text  string
	class error
}

func (e *RemoteError) Error() string { return e.Text }

// Is makes errors.Is work across the socket for the classes of the project.
func (e *RemoteError) Is(target error) bool { return e.class != nil && target == e.class }

func (f *failure) err() error {
	e := &RemoteError{Text: f.Text}
	for _, c := range classes() {
		if c.name == f.Class {
			e.class = c.err
		}
	}
	return e
}
