package resize

import (
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/index"
	"tresor/index/blockhash"
	"tresor/index/disk"
	"tresor/index/format"
)

// The files of a resize in the parent directory, beside format.ResizeName.
const (
	redoName = format.ResizeName + ".redo" // the batch that is being applied
	doneName = format.ResizeName + ".done" // which files have been converted
	tempName = format.ResizeName + ".idx"  // the new index, where it is to go to a device
	// tempSuffix is what the new index is called by until it takes its name.
	tempSuffix = format.ResizeName
)

// phase is how far a resize came; see the package comment.
type phase string

const (
	preparing  phase = "prepare"
	converting phase = "files"
	switching  phase = "switch"
	cleaning   phase = "done"
)

// state is the content of .ddfsresize.
type state struct {
	phase    phase
	old, new string // texts of ddfs.cfg
	from     string // the old index as a name of a configuration: absolute, or below the parent directory
	place    string // what the new index goes to: onFile or onDevice
}

// Where the new index goes. It is written down, because the name under which the index is made depends on it.
const (
	onFile   = "file"
	onDevice = "device"
)

// stateTitle is the first line: which program and which form.
const stateTitle = "tresor resize 1\n"

// maxState bounds the file, in bytes: two configurations, quoted.
const maxState = 1 << 20

// encode is the text of the file: quoted values, one a line, and a sum over all before it.
func (s *state) encode() []byte {
	var b strings.Builder
	b.WriteString(stateTitle)
	for _, v := range s.values() {
		fmt.Fprintf(&b, "%s: %s\n", v.key, strconv.Quote(*v.at))
	}
	fmt.Fprintf(&b, "phase: %s\n", s.phase)
	return append([]byte(b.String()), "sum: "+sumOf(b.String())+"\n"...)
}

type stateValue struct {
	key string
	at  *string
}

func (s *state) values() []stateValue {
	return []stateValue{{"old", &s.old}, {"new", &s.new}, {"from", &s.from}, {"place", &s.place}}
}

// claim is what .rebuildfsck says while this resize runs, so that one of somebody else is not taken for ours.
func (s *state) claim() string { return "tresor resize " + sumOf(s.old+s.new+s.from+s.place) + "\n" }

func sumOf(text string) string {
	kind := blockhash.Default()
	sum := kind.Sum([]byte(text))
	return hex.EncodeToString(sum[:kind.Size()])
}

// decodeState reads the text back. Anything but what encode writes is of class format.ErrCorrupt.
func decodeState(name, text string) (*state, error) {
	broken := func(what string) error {
		return &format.CorruptError{File: name, What: "state of a resize", Want: "what a resize of this program writes", Have: what}
	}
	end := strings.LastIndex(text, "sum: ")
	if end < 0 || text[end:] != "sum: "+sumOf(text[:end])+"\n" {
		return nil, broken("a wrong checksum")
	}
	rest, ok := strings.CutPrefix(text[:end], stateTitle)
	if !ok {
		return nil, broken("another form")
	}
	found := map[string]string{}
	for line := range strings.Lines(rest) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		found[key] = value
	}
	s := &state{phase: phase(found["phase"])}
	for _, v := range s.values() {
		var err error
		if *v.at, err = strconv.Unquote(found[v.key]); err != nil {
			return nil, broken("no value for " + v.key)
		}
	}
	if s.place != onFile && s.place != onDevice {
		return nil, broken("place " + strconv.Quote(s.place))
	}
	switch s.phase {
	case preparing, converting, switching, cleaning:
		return s, nil
	}
	return nil, broken("phase " + strconv.Quote(found["phase"]))
}

// loadState reads .ddfsresize; nil without an error where there is none.
func loadState(p *index.Parent) (*state, error) {
	name := p.Path(format.ResizeName)
	text, err := disk.ReadSmall(p.FS, name, unix.O_NOFOLLOW, maxState)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return nil, nil
	case errors.Is(err, disk.ErrTooLong):
		return nil, format.Mark(format.ErrCorrupt, err)
	case err != nil:
		return nil, err
	}
	return decodeState(name, string(text))
}

// setPhase writes the state down, durably.
func (r *resizer) setPhase(to phase) error {
	next := r.st
	next.phase = to
	if err := disk.WriteFileAtomic(r.p.FS, r.p.Path(format.ResizeName), next.encode(), 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	r.st = next
	return nil
}

// claimed tells whether .rebuildfsck is the one of this resize.
func (r *resizer) claimed() (bool, error) {
	text, err := disk.ReadSmall(r.p.FS, r.p.Path(format.RebuildName), unix.O_NOFOLLOW, maxState)
	if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, disk.ErrTooLong) {
		return false, nil
	}
	return string(text) == r.st.claim(), err
}

// remove takes one of the volume's own files away, durably; it may be missing.
func (r *resizer) remove(names ...string) error {
	for _, name := range names {
		if err := r.p.FS.Remove(r.p.Path(name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
	}
	return r.p.FS.SyncDir(r.p.Dir)
}
