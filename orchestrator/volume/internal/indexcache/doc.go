// Package indexcache decides which index a volume is mounted with, and keeps a copy of it on the volume. The index in use lies on a fast disk of this
// machine; disks travel between machines, copies fail, power goes. What it promises: an index is used without a check only if its content is proved to be
// the one with which the volume was closed, and nobody else has used the volume since.
//
// Three small files, replaced as a whole, each a Mark:
//
//	PARENT/tresor.generation      the volume itself: its generation, counted at each mount that may write, and the sum of the index at the close
//	PARENT/ID.idx.generation      the copy beside it, PARENT/ID.idx
//	DIR/ID.idx.generation         the index in use, DIR/ID.idx
//
// A session is a mount that may write: between its beginning and its end the mark of the volume is open, with the session's random name. The steps, and what a
// crash after each of them leaves:
//
//	begin  0  the local mark goes, if its index is replaced             the volume is closed as before; indexes are compared by content
//	       1  what cannot be used is moved away; a copy is imported     the volume is closed as before; the local index is it, or is imported again
//	       2  local mark: open, session S                               the same: a closed volume is compared by content
//	       3  mark of the volume: open, session S                       local mark and volume name the same session: the local index is it
//	(mounted; the engine repairs what a crash leaves, and knows it by its own marks; a check that is over is noted in both)
//	now    a  copy, under a temporary name, then renamed                as after 3; the copy is not what its mark says, and not used
//	       b  mark of the copy, with the sum and without "complete"     as after 3
//	end    4  local mark: closed, size and sum of the index             as after 3
//	       5  mark of the volume: closed, the same sum, traces          the local index is it; the copy is older, and not used
//	       6  copy, under a temporary name, then renamed                both are it
//	       7  mark of the copy                                          both are it; this mark is for people
//
// Elsewhere a volume whose mark is open has no index that could be proved, and here neither if this machine's disk has died: it is checked. The check begins with
// the copy, if that is what its own mark says, however old it is; without it the index is made anew, for which every block is read. Copies are made during
// a session as well (Checkpoint), between two of the engine's own checkpoints, so that little is younger than they are. Traces are sizes and times of files that every
// user of a volume changes; if they differ from those at the close, another program (the predecessor, a repair by hand) was there, and the volume is checked.
// Times are not used for anything else but to choose, among indexes that nobody has marked, the one to begin the check with.
package indexcache
