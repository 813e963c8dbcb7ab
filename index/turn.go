package index

// Turn brings the writers of one file, who work on several pieces of it at once, into the order of the file for the moment in which they take
// addresses for new blocks: what is read in order later lies in order then. Put calls the methods, from its own goroutine, each at most once.
//
// Whoever has a turn must pass it on at some time, also after an error or a panic. So Put passes it on before it waits for anybody else's block and
// before it reads from the disk, and its caller must do so when it returns. What is done before the turn is passed on, the hashing above all,
// waits for earlier turns of the same file only: as long as those are ordered there is no circle.
type Turn interface {
	// Wait returns when nobody has an earlier turn. No lock of the engine is held meanwhile, only claims of blocks that are about to be stored: whoever
	// waits for these has passed his turn on.
	Wait()
	// Pass ends the turn. Put calls it as soon as the addresses are taken, or nothing can be said any more about when they will be; not
	// if it had no new blocks and returns without a wait: then the caller's is soon enough.
	Pass()
}

// InTurn has the next Put, and no other, take its turn.
func (w *Writer) InTurn(t Turn) { w.turn = t }

// pass passes the turn on if that was not done. Addresses that are taken afterwards are taken in any order.
func (w *Writer) pass() {
	if t := w.turn; t != nil {
		w.turn = nil
		t.Pass()
	}
}
