package index

import (
	"errors"
	"fmt"
	"runtime/debug"

	"tresor/index/format"
)

// Bug is told of a panic in the middle of a change, and returns the error for whoever waited for its end. What of the engine's memory is half
// changed nobody knows, so the volume refuses everything that promises durability, as after a sync that failed: no checkpoint brings
// it to the disk, the mark of the session stays, and the next mount repairs. What is stored is served on.
func (v *Volume) Bug(recovered any) error {
	return v.fail(fmt.Errorf("a bug in this program, which has to be started again: panic: %v", recovered))
}

// caught is Bug of what recover has returned, nil of nil; the log gets the way to it.
func (v *Volume) caught(recovered any) error {
	if recovered == nil {
		return nil
	}
	err := v.Bug(recovered)
	v.warn("%v\n%s", err, debug.Stack())
	return err
}

// errAbandoned is why a block that another one was storing did not come: he fell over something else. Who waits stores it himself.
var errAbandoned = errors.New("whoever was storing the block did not come to its end")

// enter links the blocks that are known, of which out has the hashes, and stores the others. Every claim is landed when it returns, and also when it
// does not: who waits for one must not wait for ever because of a panic here.
func (w *Writer) enter(blocks []byte, out []format.Entry) error {
	through := false
	defer func() {
		if !through {
			w.abandon(out)
		}
	}()
	bs := w.v.geo.BlockSize
	batch := out[:len(blocks)/bs]
	for i := range batch {
		w.v.soon(batch, i)
		if out[i].Hash.IsNull() {
			w.v.stats.zero.Add(1)
			continue
		}
		w.classify(i, &out[i], blocks[i*bs:(i+1)*bs])
	}
	err := w.store(blocks, out)
	through = true
	return err
}

// abandon lands the claims that are left.
func (w *Writer) abandon(out []format.Entry) {
	for _, f := range w.fresh {
		select {
		case <-f.fl.done:
		default:
			w.v.flying.land(&out[f.i].Hash, f.fl, 0, errAbandoned)
		}
	}
}
