package transfer

import (
	"errors"
	"io"
	"testing"

	"tresor/fs/openfile"
	"tresor/index"
)

// A panic that comes after an error is told too: the volume needs a repair.
func TestPanicBesideAnError(t *testing.T) {
	c := newCrew(t.Context())
	c.fail(io.ErrUnexpectedEOF)
	c.fail(index.Caught(func() error { panic("a bug for the test") }))
	c.fail(io.ErrClosedPipe)
	if !errors.Is(c.failed, io.ErrUnexpectedEOF) || index.PanicOf(c.failed) == nil || errors.Is(c.failed, io.ErrClosedPipe) {
		t.Errorf("have %v, want the first error and the panic", c.failed)
	}
}

// A worker that panics inside the volume is out of it: whoever leaves workers behind waits for all that are in it.
func TestPanicInsideTheVolume(t *testing.T) {
	for name, do := range map[string]func(w *worker) bool{
		"put":  func(w *worker) bool { return w.put(make([]byte, 4096), 0) },
		"link": func(w *worker) bool { _, ok := w.link(0); return ok },
	} {
		g := &ingest{crew: newCrew(t.Context()), bs: 4096}
		if do(&worker{g: g, to: &openfile.Ingest{}}) { // of no file: anything it does is a panic
			t.Errorf("%s: went well", name)
		}
		if g.inside != 0 || index.PanicOf(g.failed) == nil {
			t.Errorf("%s: %d workers are inside, and the error is %v", name, g.inside, g.failed)
		}
	}
}
